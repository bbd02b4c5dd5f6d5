"""Passwords: which may be taken, and argon2id in two threads, so that a flood of sign-ins costs no page its time.

Long is good and nothing else is asked for; what everybody tries first is refused.
Source: OWASP ASVS 5.0, 6.2.1 to 6.2.12; RFC 9106, 4.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

T = TypeVar("T")

LEAST: Final = 12
MOST: Final = 256
WAITING: Final = 32
QUIET_WAITING: Final = 8
STRANGERS_WAITING: Final = 1
MEMORY_KIB: Final = 64 * 1024

_WORDS: Final = tuple(
    sorted(
        (
            word
            for word in files(__package__).joinpath("common.txt").read_text("utf-8").split("\n")
            if word and not word.startswith("#")
        ),
        key=len,
        reverse=True,
    )
)
"""What people choose first, the longest first."""
WHY: Final = {
    "short": f"it has fewer than {LEAST} signs",
    "long": f"it has more than {MOST} signs",
    "common": "it is one that everybody tries first",
    "own": "it is made of a name",
    "pattern": "it is a row of keys, or the same again and again",
}
"""What is wrong with a password, by the word that `why_not` returns."""
_ROWS: Final = (
    *("abcdefghijklmnopqrstuvwxyz", "01234567890123456789", "98765432109876543210"),
    *("azertyuiopqsdfghjklmwxcvbn", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm"),
)
_LOOK_ALIKE: Final = str.maketrans("013457@$!€", "oieastasie")


class BusyError(Exception):
    """So many passwords wait to be looked at that this one cannot be; nothing was decided."""


class Hasher:
    """Makes and checks password hashes in two threads: one for strangers, one for those whom a flood must not hold up."""

    def __init__(self, memory_kib: int = MEMORY_KIB) -> None:
        """Say how much memory one password takes; tests take less than a site may."""
        # One lane: with the four of the library's default a single sign-in would take all cores of a small machine.
        self._argon2 = PasswordHasher(time_cost=3, memory_cost=memory_kib, parallelism=1)
        self._first = _Line("password")
        self._strangers = _Line("password of a stranger")

    async def hash(self, password: str) -> str:
        """Return what is kept of a password.

        Raises:
            BusyError: Too many wait.
        """
        return await self._first.run(WAITING, self._argon2.hash, _plain(password))

    async def fits(self, kept: str, password: str, *, waiting: int = WAITING) -> bool:
        """Return whether a password is the one of which `kept` was made; without `kept` False, after as long a time.

        Args:
            kept: A hash, or nothing.
            password: As it was typed.
            waiting: How many may wait before: `WAITING` for who is known, `QUIET_WAITING` or `STRANGERS_WAITING` for others, who have a
                thread of their own.

        Raises:
            BusyError: Too many wait.
        """
        line = self._first if waiting == WAITING else self._strangers
        return await line.run(waiting, self._verify, kept, _plain(password))

    def hash_now(self, password: str) -> str:
        """Return what is kept of a password, in this thread: for the command line."""
        return self._argon2.hash(_plain(password))

    def is_outdated(self, kept: str) -> bool:
        """Return whether a hash was made with another effort than one of today."""
        return self._argon2.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads, after what they are at."""
        for line in (self._first, self._strangers):
            line.close()

    def _verify(self, kept: str, password: str) -> bool:
        if not kept:
            self._argon2.hash(password)  # as much work as to look at one
            return False
        try:
            return self._argon2.verify(kept, password)
        except (Argon2Error, InvalidHashError):
            return False


class _Line:
    """One thread, and those who wait for it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._open = 0

    async def run(self, waiting: int, call: Callable[..., T], *values: str) -> T:
        if self._open > waiting:
            raise BusyError
        self._open += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *values)
        finally:
            self._open -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def why_not(password: str, *about: str) -> str:
    """Return why a password cannot be taken, as one of `short`, `long`, `common`, `own`, `pattern`; nothing when it can.

    Args:
        password: As it was typed.
        about: Names of the person and of the site.
    """
    plain = _plain(password)
    if len(plain) < LEAST:
        return "short"
    if len(plain) > MOST:
        return "long"
    letters = _letters(plain)
    if any(
        len(name) > 2 and _letters(name) in letters and len(letters) <= len(name) + 8
        for name in about
    ):
        return "own"
    if len(set(plain.lower())) < 5 or _is_in_a_row(plain.lower()) or _repeats(plain.lower()):
        return "pattern"
    return "common" if _is_common(plain.lower()) else ""


def _is_common(text: str) -> bool:
    """Return whether a password is but words that everybody tries, with digits and signs around them, or digits alone."""
    if text.isdigit():
        return True
    for form in (text, text.translate(_LOOK_ALIKE)):
        letters = re.sub(r"[\W\d_]+", "", form)
        left = _without_words(letters)
        if left != letters and len(left) < 4:
            return True
    return False


def _without_words(letters: str) -> str:
    for word in _WORDS:
        letters = letters.replace(word, "")
    return letters


def _is_in_a_row(text: str) -> bool:
    """Return whether it is keys or letters in their row, up or down."""
    return any(text in row * 4 or text in row[::-1] * 4 for row in _ROWS)


def _repeats(text: str) -> bool:
    """Return whether it is a short piece again and again."""
    return any(text == (text[:n] * len(text))[: len(text)] for n in range(1, 5))


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in plain if c.isalnum())


def _plain(password: str) -> str:
    """Return a password in one form: the same signs typed on another keyboard are the same password."""
    return unicodedata.normalize("NFKC", password)
