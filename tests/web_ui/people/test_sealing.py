"""Second factors in the file: sealed under the site's key, and worth nothing without it."""

from __future__ import annotations

from pathlib import Path

import pyotp
import pytest
from tests.web_ui.people.house import CLI, NOW, PASSWORD

from pilotage.runtime.web_settings import LEAST_KEY_BYTES
from pilotage_web.people.admission import Admitted, Attempt, Refused
from pilotage_web.people.passwords import Hasher
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sealing import LEAST_BYTES, KeyFileError, Seal, SealError, read_key
from pilotage_web.rights import Role

KEY = b"k" * 48
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


class TestSeal:
    def test_there_and_back(self) -> None:
        """What was sealed is opened by the same key and for the same name, and by nothing else."""
        kept = Seal(KEY).close(SECRET, "nadia")
        assert SECRET not in kept
        assert kept != Seal(KEY).close(SECRET, "nadia")
        assert Seal(KEY + b"\n").open(kept, "nadia") == SECRET
        for seal, name in ((Seal(b"other" * 8), "nadia"), (Seal(KEY), "karim"), (Seal(), "nadia")):
            with pytest.raises(SealError):
                seal.open(kept, name)
        with pytest.raises(SealError):
            Seal(KEY).open(kept[:-4] + "AAAA", "nadia")

    def test_without_a_key(self) -> None:
        """Without a key it stays plain; with one what was plain is still read."""
        assert Seal().close(SECRET, "nadia") == SECRET
        assert Seal(KEY).open(SECRET, "nadia") == SECRET

    def test_key_file(self, tmp_path: Path) -> None:
        """A short key, and one that cannot be read, are refused; the check of the configuration asks for the same length."""
        (tmp_path / "key").write_text("short\n")
        with pytest.raises(KeyFileError, match="32 bytes at least"):
            read_key(str(tmp_path / "key"))
        with pytest.raises(KeyFileError, match="pilotage config check"):
            read_key(str(tmp_path))
        assert LEAST_BYTES == LEAST_KEY_BYTES


class TestFile:
    def opened(self, folder: Path, key: bytes = b"") -> Register:
        return open_register(folder, hasher=Hasher(memory_kib=64), key=key)

    async def sign_in(self, people: Register, code: str) -> Admitted | Refused:
        return await people.admission.sign_in(Attempt("nadia", PASSWORD, code), NOW)

    async def test_life(self, tmp_path: Path) -> None:
        """What was plain is sealed at the start with a key; codes go on; without the key only recovery codes let in."""
        people = self.opened(tmp_path)
        people.accounts.add("nadia", {"traffic": Role.OPERATOR}, CLI, NOW)
        people.accounts.set_password("nadia", people.hasher.hash_now(PASSWORD), CLI, NOW)
        paper = people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        people.close()

        people = self.opened(tmp_path, KEY)
        account = people.accounts.need("nadia")
        assert SECRET not in account.second
        assert people.accounts.second_of(account) == SECRET
        code = pyotp.TOTP(SECRET).at(int(NOW))
        assert isinstance(await self.sign_in(people, code), Admitted)
        people.close()
        held = b"".join(f.read_bytes() for f in tmp_path.iterdir() if f.is_file())
        assert SECRET.encode() not in held

        people = self.opened(tmp_path)
        later = pyotp.TOTP(SECRET).at(int(NOW) + 30)
        assert isinstance(await self.sign_in(people, later), Refused)
        assert isinstance(await self.sign_in(people, paper[0]), Admitted)
        people.close()
