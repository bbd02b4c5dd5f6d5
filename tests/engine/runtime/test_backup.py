"""Backups: made beside a running engine, verified to the last byte, brought back whole or not at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pilotage.ports import DecisionRecord, Envelope, OwnedElsewhereError, Snapshot
from pilotage.runtime.backup import MANIFEST, BackupError, Manifest, make_backup, read_manifest
from pilotage.runtime.health import Health
from pilotage.runtime.journal import JournalReader, SqliteJournal, sqlite
from pilotage.runtime.ownership import FileOwnership
from pilotage.runtime.restore import restore
from pilotage.runtime.snapshots import FileSnapshots
from pilotage.runtime.verification import Checked, verify

TARGETS: Final = ("folder", "file.tar")


def silent(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


async def fill(journal: SqliteJournal, count: int, start: int = 0) -> None:
    last = None
    for number in range(start, start + count):
        journal.put("city", Envelope(float(number), b"[1]", number))
        data = b'{"number":%d,"text":"%s"}' % (number + 1, b"x" * 200)
        last = journal.append("city", number, DecisionRecord(number + 1, float(number), data))
    assert last is not None
    await last


@pytest.fixture
async def storage(tmp_path: Path) -> Path:
    """A storage folder with something of everything."""
    folder = tmp_path / "var"
    journal = SqliteJournal(folder / "journal.db", Health(), lazy_s=0.01, ballast_bytes=100_000)
    journal.open("city")
    journal.archive("abc", {"rules/a.yaml": b"version: 1\n"}, 1.0)
    await fill(journal, 300)
    journal.close()
    FileSnapshots(folder / "snapshots", Health()).write("city", Snapshot(9, 9, 1.0, "abc", b"{}"))
    other = sqlite.connect(folder / "history.db")
    other.execute("CREATE TABLE blocks (data BLOB)")
    other.execute("INSERT INTO blocks VALUES (randomblob(100000))")
    other.commit()
    other.close()
    (folder / "anchors").mkdir()
    (folder / "anchors" / "2026-11-23.anchor").write_text("an anchor\n")
    (folder / "city.owner").write_text("57 1\n")
    (folder / "control.sock").touch()
    return folder


def backup(storage: Path, target: Path) -> Manifest:
    return make_backup(storage, target, "1.0", silent)


def problems(checked: list[Checked]) -> dict[str, str]:
    return {one.name: "; ".join(one.problems) for one in checked if one.problems}


@pytest.mark.parametrize("target", TARGETS)
class TestThereAndBack:
    def test_everything(self, storage: Path, tmp_path: Path, target: str) -> None:
        """What is restored is what was kept, file by file; what belongs to the machine is left out."""
        made = backup(storage, tmp_path / target)
        assert [entry.name for entry in made.files] == [
            "anchors/2026-11-23.anchor",
            "history.db",
            "snapshots/city@000000000000009-000000000000009.snapshot",
            "journal.db",
        ]
        done = restore(tmp_path / target, tmp_path / "new", silent)
        assert done.before is None
        reader = JournalReader(tmp_path / "new" / "journal.db")
        assert [r.number for r in reader.decisions("city")] == list(range(1, 301))
        assert [e.position for e in reader.inputs("city")] == list(range(1, 301))
        assert reader.archived("abc") == {"rules/a.yaml": b"version: 1\n"}
        snapshots = FileSnapshots(tmp_path / "new" / "snapshots", Health())
        assert snapshots.newest("city") == Snapshot(9, 9, 1.0, "abc", b"{}")
        assert (tmp_path / "new" / "anchors" / "2026-11-23.anchor").read_text() == "an anchor\n"
        open_to_others = [p for p in (tmp_path / "new").rglob("*") if p.stat().st_mode & 0o077]
        assert [p for p in open_to_others if p.is_file()] == []

    def test_sound(self, storage: Path, tmp_path: Path, target: str) -> None:
        """A backup is found whole, and what it holds is counted."""
        backup(storage, tmp_path / target)
        checked = verify(tmp_path / target, silent)
        assert problems(checked) == {}
        (journal,) = (one for one in checked if one.name == "journal.db")
        assert journal.detail == "city: 300 decisions, 300 inputs"

    def test_damage_is_found(self, storage: Path, tmp_path: Path, target: str) -> None:
        """A byte that changed anywhere in a backup is found, and such a backup is not brought back."""
        path = tmp_path / target
        backup(storage, path)
        for name in ("history.db", "journal.db", "anchors/2026-11-23.anchor"):
            file, at = (path / name, 5) if path.is_dir() else _member_at(path, name)
            data = bytearray(file.read_bytes())
            data[at] ^= 1
            file.write_bytes(data)
            assert problems(verify(path, silent)) == {
                name: "its checksum is not that of the manifest"
            }
            with pytest.raises(BackupError, match=f"damaged: {name}"):
                restore(path, tmp_path / "new", silent)
            assert not (tmp_path / "new").exists()
            data[at] ^= 1
            file.write_bytes(data)

    def test_missing_file(self, storage: Path, tmp_path: Path, target: str) -> None:
        """A file that the manifest names and that is not there is found."""
        path = tmp_path / target
        backup(storage, path)
        if path.is_dir():
            (path / "history.db").unlink()
            assert problems(verify(path, silent)) == {"history.db": "the file is missing"}
        else:
            path.write_bytes(path.read_bytes()[:20_000])
        with pytest.raises(BackupError, match=r"missing|no backup, or a damaged one"):
            restore(path, tmp_path / "new", silent)

    def test_is_there_already(self, storage: Path, tmp_path: Path, target: str) -> None:
        """A backup never overwrites what is there."""
        (tmp_path / target).write_text("precious")
        with pytest.raises(BackupError, match="there already"):
            backup(storage, tmp_path / target)
        assert (tmp_path / target).read_text() == "precious"


def _member_at(path: Path, name: str) -> tuple[Path, int]:
    with tarfile.open(path) as tar:
        return path, tar.getmember(name).offset_data + 5


class TestPlaces:
    def test_nothing_to_back_up(self, tmp_path: Path) -> None:
        """A folder without anything in it is named, with the mend."""
        with pytest.raises(BackupError, match="nothing to back up"):
            backup(tmp_path / "var", tmp_path / "copy")

    def test_not_inside(self, storage: Path) -> None:
        """A backup in the folder that it copies would be lost with it."""
        with pytest.raises(BackupError, match="inside the storage folder"):
            backup(storage, storage / "copy")

    def test_disk_full(self, storage: Path, tmp_path: Path) -> None:
        """A backup that cannot be written whole leaves nothing behind."""
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises((OSError, sqlite.Error)):
                backup(storage, tmp_path / "copy")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["var"]

    @pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", ""])
    def test_names_stay_inside(self, storage: Path, tmp_path: Path, name: str) -> None:
        """A manifest that names a place outside the folder is refused before anything is written."""
        backup(storage, tmp_path / "copy")
        manifest = (tmp_path / "copy" / MANIFEST).read_bytes()
        spoiled = manifest.replace(b"anchors/2026-11-23.anchor", name.encode())
        with pytest.raises(BackupError, match="is no name for a file of a backup"):
            read_manifest(spoiled, tmp_path)

    @pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"format": 1, "files": 3}', b"\xff"])
    def test_damaged_manifest(self, storage: Path, tmp_path: Path, text: bytes) -> None:
        """A manifest that cannot be read is an error that says so."""
        backup(storage, tmp_path / "copy")
        (tmp_path / "copy" / MANIFEST).write_bytes(text)
        with pytest.raises(BackupError, match="manifest is damaged"):
            verify(tmp_path / "copy", silent)


class TestRestore:
    def test_running_engine(self, storage: Path, tmp_path: Path) -> None:
        """Nothing is restored over an engine that runs, forced or not."""
        backup(storage, tmp_path / "copy")
        owner = FileOwnership(storage)
        owner.acquire("city")
        with pytest.raises(OwnedElsewhereError, match="runs already"):
            restore(tmp_path / "copy", storage, silent, force=True)
        owner.release("city")

    def test_not_empty(self, storage: Path, tmp_path: Path) -> None:
        """A folder with something in it is left alone without a word; with it, it is kept beside."""
        backup(storage, tmp_path / "copy")
        (storage / "history.db").unlink()
        with pytest.raises(BackupError, match=r"not empty[\s\S]*--force"):
            restore(tmp_path / "copy", storage, silent)
        assert not (storage / "history.db").exists()
        done = restore(tmp_path / "copy", storage, silent, force=True)
        assert done.before is not None
        assert (storage / "history.db").exists()
        assert (done.before / "journal.db").exists()

    def test_epoch_goes_on(self, storage: Path, tmp_path: Path) -> None:
        """The engine that starts on what was restored has a later epoch than any before it."""
        backup(storage, tmp_path / "copy")
        restore(tmp_path / "copy", storage, silent, force=True)
        owner = FileOwnership(storage)
        assert owner.acquire("city") > 57
        owner.release("city")

    async def test_engine_goes_on(self, storage: Path, tmp_path: Path) -> None:
        """A journal that was brought back is written on where it ended."""
        backup(storage, tmp_path / "copy")
        restore(tmp_path / "copy", tmp_path / "new", silent)
        journal = SqliteJournal(tmp_path / "new" / "journal.db", Health())
        journal.open("city")
        await fill(journal, 10, start=300)
        journal.close()
        assert problems(verify(tmp_path / "new", silent)) == {}


WRITES_FOR_EVER: Final = """
import asyncio, sys
from pathlib import Path
from pilotage.ports import DecisionRecord, Envelope
from pilotage.runtime.health import Health
from pilotage.runtime.journal import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[1]), Health())
    journal.open("city")
    number = journal.last_number("city")
    print("writes", flush=True)
    while True:
        journal.put("city", Envelope(1.0, b"[1]", number))
        data = b'{"number":%d,"text":"%s"}' % (number + 1, b"x" * 2000)
        number = await journal.append("city", number, DecisionRecord(number + 1, 1.0, data))

asyncio.run(main())
"""


class TestOnline:
    @pytest.fixture
    def writer(self, storage: Path) -> Iterator[subprocess.Popen[str]]:
        """Another process that writes the journal as fast as it can."""
        with subprocess.Popen(
            [sys.executable, "-c", WRITES_FOR_EVER, str(storage / "journal.db")],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "writes\n"
            yield process
            process.kill()

    def test_while_it_is_written(
        self, storage: Path, tmp_path: Path, writer: subprocess.Popen[str]
    ) -> None:
        """Backups made while another process writes are whole, each as of a later moment."""
        counts = []
        for index in range(5):
            target = tmp_path / f"{index}.tar"
            backup(storage, target)
            checked = verify(target, silent)
            assert problems(checked) == {}
            (journal,) = (one for one in checked if one.name == "journal.db")
            counts.append(int(journal.detail.split()[1].replace(",", "")))
        assert writer.poll() is None
        assert counts == sorted(set(counts))
        assert problems(verify(storage, silent)) == {}


class TestVerify:
    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("DELETE FROM decisions WHERE number = 7", "decision 6 is followed by 8"),
            ("DELETE FROM decisions WHERE number > 290", "decisions end at 290, the last one was 300"),
            ("UPDATE decisions SET record = x'7b' WHERE number = 7", "decision 7 cannot be read"),
            ("UPDATE decisions SET record = x'7b7d' WHERE number = 7", "says that it is number None"),
            ("DELETE FROM inputs WHERE position > 290", "inputs end at 290, the last one was 300"),
            ("UPDATE inputs SET envelope = x'5b' WHERE position = 7", "input 7 cannot be read"),
            ("UPDATE inputs SET envelope = x'5b395d' WHERE position = 7", "version 9"),
            ("UPDATE inputs SET after = 90 WHERE position = 7", "input 8 is out of order"),
            ("UPDATE texts SET text = x'00'", "text .* is damaged"),
            ("DELETE FROM texts", "a text of the rules abc is missing"),
        ],
    )  # fmt: skip
    def test_journal(self, storage: Path, sql: str, said: str) -> None:
        """What is missing, out of order or unreadable in the journal is named."""
        connection = sqlite.connect(storage / "journal.db")
        connection.execute(sql)
        connection.commit()
        connection.close()
        found = problems(verify(storage, silent))
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(found.get("journal.db"))

    def test_left_out_inputs(self, storage: Path) -> None:
        """Inputs that were left out while the disk refused are told, and are no damage."""
        connection = sqlite.connect(storage / "journal.db")
        connection.execute("DELETE FROM inputs WHERE position IN (20, 21)")
        connection.commit()
        connection.close()
        checked = verify(storage / "journal.db", silent)
        assert problems(checked) == {}
        assert checked[0].remarks == (
            "city: 2 inputs after 19 were left out while the disk refused",
        )

    def test_pages(self, storage: Path) -> None:
        """A page of a database that was overwritten is found."""
        path = storage / "history.db"
        data = bytearray(path.read_bytes())
        data[4096:8192] = os.urandom(4096)
        path.write_bytes(data)
        assert "history.db" in problems(verify(storage, silent))

    def test_snapshot(self, storage: Path) -> None:
        """A snapshot that was cut off is found."""
        (path,) = (storage / "snapshots").iterdir()
        path.write_bytes(path.read_bytes()[:-1])
        (found,) = problems(verify(storage, silent)).values()
        assert "damaged" in found

    def test_nothing(self, tmp_path: Path) -> None:
        """A folder without anything to verify is no good sign, and is said."""
        with pytest.raises(BackupError, match="nothing to verify"):
            verify(tmp_path, silent)


def test_progress(storage: Path, tmp_path: Path) -> None:
    """Who makes a backup can show how far it is."""
    told: list[tuple[str, int, int]] = []
    make_backup(
        storage, tmp_path / "x", "1", lambda what, done, all_: told.append((what, done, all_))
    )
    assert ("journal.db", told[-1][2], told[-1][2]) in told
    assert asyncio.iscoroutinefunction(fill)
