"""Signing in: what lets in, what does not, and what a flood may not do."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pyotp
from tests.web_ui.people.conftest import CLI, NOW, PASSWORD

from pilotage.api import ApiError, RecordAudit
from pilotage_web.people.admission import Admitted, Attempt, Refused
from pilotage_web.people.records import hand_over
from pilotage_web.people.register import Register
from pilotage_web.people.sessions import Origin

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
RIGHT = Attempt("nadia", PASSWORD, origin=Origin("192.0.2.9", "Chromium"))
WRONG = replace(RIGHT, password="not the one", origin=Origin("198.51.100.1"))


def told(people: Register) -> list[tuple[str, str]]:
    """Return what waits for the audit since the fixture."""
    return [(row.action, row.person) for _, row in people.records.waiting()][3:]


def code(now: float) -> str:
    """Return the code that a telephone shows."""
    return pyotp.TOTP(SECRET).at(int(now))


class TestSignIn:
    async def test_right(self, people: Register) -> None:
        """Name and password let in, where the person can do most; the audit is told by which way."""
        found = await people.admission.sign_in(replace(RIGHT, name="  Nadia "), NOW)

        assert isinstance(found, Admitted)
        session = people.sessions.of(found.session, NOW)
        assert session is not None
        assert (session.person, session.post) == ("nadia", "traffic")
        row = people.records.waiting()[-1][1]
        assert (row.action, row.person, row.via) == ("login", "nadia", "web 192.0.2.9 traffic")
        assert row.detail["second"] == "none"

    async def test_wrong_in_the_same_words(self, people: Register) -> None:
        """Wrong password, no such name, disabled, no password chosen yet: one answer (ASVS 6.3.8)."""
        people.accounts.add("karim", {}, CLI, NOW)
        people.accounts.set_password("karim", people.hasher.hash_now(PASSWORD), CLI, NOW)
        people.accounts.disable("karim", CLI, NOW)
        for name in ("nadia", "nobody", "ann", "karim", "", "x" * 5_000, "na'; drop"):
            password = PASSWORD if name == "karim" else "not the one"
            attempt = replace(RIGHT, name=name, password=password)
            assert await people.admission.sign_in(attempt, NOW) == Refused("wrong")

    async def test_a_new_session_each_time(self, people: Register) -> None:
        """Nothing that was there before is a session afterwards (ASVS 7.2.4)."""
        one = await people.admission.sign_in(RIGHT, NOW)
        two = await people.admission.sign_in(RIGHT, NOW)

        assert isinstance(one, Admitted)
        assert isinstance(two, Admitted)
        assert one.session != two.session

    async def test_without_a_role(self, people: Register) -> None:
        """Who is nothing anywhere is told so, after the right password alone."""
        people.accounts.set_roles("nadia", {}, CLI, NOW)
        assert await people.admission.sign_in(RIGHT, NOW) == Refused("no-role")


class TestSecondFactor:
    async def test_needed(self, people: Register) -> None:
        """The password alone is not enough any more; a code is good once, also for two who send it together."""
        people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        assert await people.admission.sign_in(RIGHT, NOW) == Refused("wrong")

        both = await asyncio.gather(
            *(people.admission.sign_in(replace(RIGHT, code=code(NOW)), NOW) for _ in range(2))
        )
        assert sorted(type(found).__name__ for found in both) == ["Admitted", "Refused"]
        assert await people.admission.sign_in(replace(RIGHT, code=code(NOW)), NOW) == Refused(
            "wrong"
        )

    async def test_wrong_password_leaves_the_code(self, people: Register) -> None:
        """A mistyped password does not use the code up."""
        people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        wrong = replace(RIGHT, password="not the one", code=code(NOW))
        assert await people.admission.sign_in(wrong, NOW) == Refused("wrong")
        assert isinstance(
            await people.admission.sign_in(replace(RIGHT, code=code(NOW)), NOW), Admitted
        )

    async def test_recovery(self, people: Register) -> None:
        """A code from paper stands in for the telephone, once."""
        codes = people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        attempt = replace(RIGHT, code=codes[3])

        assert isinstance(await people.admission.sign_in(attempt, NOW), Admitted)
        assert await people.admission.sign_in(attempt, NOW) == Refused("wrong")


class TestLink:
    async def test_lets_in(self, people: Register) -> None:
        """A link lets in once who has no password yet."""
        link = people.accounts.new_link("ann", CLI, NOW)

        assert isinstance(await people.admission.use_link(link, RIGHT, NOW), Admitted)
        assert await people.admission.use_link(link, RIGHT, NOW) == Refused("over")

    async def test_does_not_replace_the_second_factor(self, people: Register) -> None:
        """Who has a second factor shows a code with the link too; a wrong one does not use the link up."""
        people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        link = people.accounts.new_link("nadia", CLI, NOW)

        assert await people.admission.use_link(link, RIGHT, NOW) == Refused("wrong")
        attempt = replace(RIGHT, code=code(NOW))
        assert isinstance(await people.admission.use_link(link, attempt, NOW), Admitted)


class TestAgain:
    async def test_proves(self, people: Register) -> None:
        """The password again renews the session's secret; a wrong one leaves it as it is."""
        found = await people.admission.sign_in(RIGHT, NOW)
        assert isinstance(found, Admitted)
        session = people.sessions.of(found.session, NOW)
        assert session is not None

        later = NOW + 3000
        wrong = await people.admission.prove(session, replace(RIGHT, password="no"), later)
        assert wrong == Refused("wrong")
        secret = await people.admission.prove(session, RIGHT, later)
        assert isinstance(secret, str)
        renewed = people.sessions.of(secret, later)
        assert renewed is not None
        assert renewed.is_proven(later)
        assert people.sessions.of(found.session, later) is None


class TestFlood:
    async def test_costs_little(self, people: Register) -> None:
        """Of ten thousand tries of one sender some twenty reach a password, and two rows the audit."""
        asked: list[str] = []
        fits = people.hasher.fits

        async def counted(kept: str, password: str, *, waiting: int) -> bool:
            asked.append(password)
            return await fits(kept, password, waiting=waiting)

        object.__setattr__(people.hasher, "fits", counted)
        for number in range(10_000):
            await people.admission.sign_in(WRONG, NOW + number / 1000)
        people.admission.tell_failures(NOW + 70)

        assert 5 <= len(asked) <= 30
        assert told(people) == [("login_failed", "nadia"), ("login_failed", "nadia")]
        rows = [row.detail for _, row in people.records.waiting()][3:]
        assert sum(int(detail["tries"]) for detail in rows) == 10_000

    async def test_who_was_here_before_comes_in(self, people: Register) -> None:
        """A browser that is known passes by the strangers, though they come from its own address."""
        before = await people.admission.sign_in(RIGHT, NOW)
        assert isinstance(before, Admitted)
        here = replace(WRONG, origin=RIGHT.origin)
        for number in range(500):
            await people.admission.sign_in(here, NOW + number / 1000)
        assert isinstance(await people.admission.sign_in(RIGHT, NOW + 1), Refused)

        known = replace(RIGHT, browser=before.browser)
        assert isinstance(await people.admission.sign_in(known, NOW + 1), Admitted)

    async def test_who_has_a_code_comes_in(self, people: Register) -> None:
        """The right code passes by the strangers too, from a new browser at the flooded address."""
        people.accounts.set_second("nadia", SECRET, 1, CLI, NOW)
        for number in range(500):
            await people.admission.sign_in(WRONG, NOW + number / 1000)

        attempt = replace(RIGHT, code=code(NOW + 1), origin=WRONG.origin)
        assert isinstance(await people.admission.sign_in(attempt, NOW + 1), Admitted)

    async def test_who_comes_from_a_quiet_place_comes_in(self, people: Register) -> None:
        """A hundred senders after one name do not shut out somebody who has neither, from an address of their own."""
        for number in range(3_000):
            origin = Origin(f"198.51.100.{number % 100}")
            await people.admission.sign_in(replace(WRONG, origin=origin), NOW + number / 50)

        assert isinstance(await people.admission.sign_in(RIGHT, NOW + 60), Admitted)

    async def test_what_was_typed_is_not_kept(self, people: Register) -> None:
        """A name that is no account's stands nowhere: it may be a password in the wrong field."""
        await people.admission.sign_in(replace(WRONG, name="my secret words"), NOW)
        assert told(people) == [("login_failed", "(unknown)")]
        assert b"my secret words" not in people.store.path.read_bytes()


class TestRecords:
    async def test_wait_for_the_engine(self, people: Register) -> None:
        """While the engine is away rows wait, in order; none is lost and none is told twice."""
        heard: list[str] = []
        is_there = False

        async def tell(row: RecordAudit) -> None:
            if not is_there:
                raise ApiError("no-engine", "away")
            heard.append(row.action)

        assert await hand_over(people.records, tell) == 0
        is_there = True
        assert await hand_over(people.records, tell) == 3
        assert heard == ["user_added", "user_added", "password_changed"]
        assert await hand_over(people.records, tell) == 0
