"""What lets people in as it lies in the file: sealed under a key that the site keeps elsewhere, plain where it gives none.

AES-256-GCM with a nonce of its own for each; the person's name is sealed in, so that no secret can be put to another name.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

LEAST_BYTES: Final = 32
_MARK: Final = "v1:"
_NONCE: Final = 12
_MEND: Final = "   mend: see web.people_key, `pilotage config check` says what is wrong with it"


class SealError(Exception):
    """A secret cannot be opened: there is no key, or another one, or the file was changed."""


class KeyFileError(Exception):
    """The site's key file cannot be used."""


class Seal:
    """Seals and opens secrets."""

    def __init__(self, key: bytes = b"") -> None:
        """Take the content of the site's key file; without one nothing is sealed."""
        digest = hashlib.blake2b(key.strip(), digest_size=32, person=b"pilotage-second")
        self._cipher = AESGCM(digest.digest()) if key else None

    @property
    def is_there(self) -> bool:
        """True when there is a key."""
        return self._cipher is not None

    @staticmethod
    def is_sealed(kept: str) -> bool:
        """True for a secret that was sealed."""
        return kept.startswith(_MARK)

    def close(self, plain: str, name: str) -> str:
        """Return a secret as it is kept."""
        if self._cipher is None or not plain:
            return plain
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, plain.encode(), name.encode())
        return _MARK + b64encode(nonce + sealed).decode()

    def open(self, kept: str, name: str) -> str:
        """Return a secret that was kept; one from before there was a key is plain.

        Raises:
            SealError: It cannot be opened.
        """
        if not self.is_sealed(kept):
            return kept
        if self._cipher is None:
            raise SealError("it is sealed, and `web.people_key` is not there")
        raw = b64decode(kept[len(_MARK) :])
        try:
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], name.encode()).decode()
        except InvalidTag:
            raise SealError("it was sealed under another key, or changed since") from None


def read_key(file: str) -> bytes:
    """Return the content of a key file; nothing for no file.

    Raises:
        KeyFileError: It cannot be read, or is too short.
    """
    if not file:
        return b""
    try:
        key = Path(file).read_bytes()
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read: {error.strerror}\n{_MEND}") from error
    if len(key.strip()) < LEAST_BYTES:
        raise KeyFileError(f"{file}: a key has {LEAST_BYTES} bytes at least\n{_MEND}")
    return key
