"""Which passwords may be taken, and how they are kept."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pilotage_web.people.passwords import QUIET_WAITING, BusyError, Hasher, why_not


class TestChoice:
    @pytest.mark.parametrize(
        ("password", "why"),
        [
            ("elevenchars", "short"),
            ("x" * 257, "long"),
            ("Password123456!", "common"),
            ("Bienvenue2026!!", "common"),
            ("M0tD3P4ss3-2026", "common"),
            ("271828182845904", "common"),
            ("azertyuiopqsdf", "pattern"),
            ("zyxwvutsrqponm", "pattern"),
            ("abcabcabcabcabc", "pattern"),
            ("aaaaaaaaaaaaaa", "pattern"),
            ("nadia.traffic1", "own"),
            ("Nadia-1234567", "own"),
        ],
    )
    def test_what_everybody_tries_is_refused(self, password: str, why: str) -> None:
        """Short ones, common words with digits around them, rows of keys and the person's own name."""
        assert why_not(password, "nadia", "Dijon métropole") == why

    @pytest.mark.parametrize(
        "password",
        [
            "seven tin cups on a sill",
            "le chat dort sous la pluie",
            "x7#93k28!44d1-02",
            "verglas sur le pont de l'Ouche",
            "ééééàààùùùôôô-ñ",
            "雪が降る夜の静かな道を歩く",
            "a" + "bcde fghi " * 25 + "zz",
        ],
    )
    def test_long_ones_are_taken(self, password: str) -> None:
        """No composition is asked for, and any sign counts (ASVS 6.2.5, 6.2.9)."""
        assert why_not(password, "nadia", "Dijon métropole") == ""


class TestHasher:
    async def test_fits(self) -> None:
        """A password fits the hash that was made of it, also typed as other code points of the same signs."""
        hasher = Hasher(memory_kib=64)
        kept = await hasher.hash("café sur la place")

        assert kept.startswith("$argon2id$")
        assert await hasher.fits(kept, "cafe\u0301 sur la place")
        assert not await hasher.fits(kept, "cafe sur la place")
        hasher.close()

    async def test_nobody_fits(self) -> None:
        """Without a hash nothing fits, and as much is computed: the time tells nobody which names exist."""
        hasher = Hasher(memory_kib=64)

        assert not await hasher.fits("", "nobody has this password")
        assert not await hasher.fits("damaged", "anything")
        hasher.close()

    async def test_as_in_service(self) -> None:
        """Source: RFC 9106, 4, second recommended option: 64 MiB and three passes; one lane, see the module."""
        hasher = Hasher()
        assert "$m=65536,t=3,p=1$" in await hasher.hash("seven tin cups")
        hasher.close()

    async def test_strangers_hold_nobody_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many strangers wait, who is known is looked at at once; the stranger for whom there is no place is sent away."""
        hasher = Hasher(memory_kib=64)
        gate, verify = threading.Event(), hasher._verify
        at_work: set[str] = set()

        def slow(kept: str, password: str) -> bool:
            at_work.add(threading.current_thread().name)
            return gate.wait(10) if password == "slow" else verify(kept, password)

        monkeypatch.setattr(hasher, "_verify", slow)
        waiting = [
            asyncio.create_task(hasher.fits("kept", "slow", waiting=QUIET_WAITING))
            for _ in range(QUIET_WAITING + 1)
        ]
        await asyncio.sleep(0.05)

        with pytest.raises(BusyError):
            await hasher.fits("kept", "slow", waiting=QUIET_WAITING)
        assert await hasher.fits(hasher.hash_now("mine"), "mine")
        assert len(at_work) == 2
        gate.set()
        assert all(await asyncio.gather(*waiting))
        assert len(at_work) == 2
        hasher.close()

    def test_more_effort_makes_a_hash_outdated(self) -> None:
        """A hash of before is made anew at the next sign-in."""
        before, now = Hasher(memory_kib=64), Hasher(memory_kib=128)
        kept = before.hash_now("seven tin cups")

        assert now.is_outdated(kept)
        assert not before.is_outdated(kept)
