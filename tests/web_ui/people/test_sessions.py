"""Sessions: how long, what for, and how they end."""

from __future__ import annotations

from tests.web_ui.people.conftest import NOW

from pilotage_web.people.records import By
from pilotage_web.people.register import Register
from pilotage_web.people.sessions import (
    IDLE_S,
    KIOSK,
    LONGEST_S,
    PROVEN_S,
    Origin,
    Session,
    csrf_of,
)
from pilotage_web.rights import Right, Role

HERE = Origin("192.0.2.9", "Chromium")
NADIA = By("nadia", HERE.via)


def begin(people: Register, at: float = NOW, kind: str = "person") -> str:
    """Begin a session of nadia at traffic and return its secret."""
    with people.store.writing() as change:
        return people.sessions.begin(change, "nadia", "traffic", HERE, at, kind=kind)


def session_of(people: Register, secret: str, now: float = NOW) -> Session:
    """Return a session that is there."""
    found = people.sessions.of(secret, now)
    assert found is not None
    return found


class TestLength:
    def test_twelve_hours(self, people: Register) -> None:
        """However busy, a session is over after twelve hours (ASVS 7.3.2)."""
        secret = begin(people)
        for hour in range(1, 12):
            people.sessions.touch(session_of(people, secret), NOW + 3600 * hour)

        assert people.sessions.of(secret, NOW + LONGEST_S - 1) is not None
        assert people.sessions.of(secret, NOW + LONGEST_S) is None

    def test_a_quarter_of_an_hour(self, people: Register) -> None:
        """Without a click it shows and does nothing; a click does not wake it, the password does (ASVS 7.3.1)."""
        secret = begin(people)
        late = NOW + IDLE_S + 1
        assert Right.OVERRIDE in session_of(people, secret).rights(late - 2)

        assert session_of(people, secret).rights(late) == {Right.OPEN, Right.SELF, Right.SEE}
        people.sessions.touch(session_of(people, secret), late)
        assert session_of(people, secret).is_locked(late)

        with people.store.writing() as change:
            fresh = people.sessions.prove(change, session_of(people, secret), late)
        assert Right.OVERRIDE in session_of(people, fresh, late).rights(late)
        assert people.sessions.of(secret, late) is None

    def test_clicks_keep_it(self, people: Register) -> None:
        """Who works is not asked again."""
        secret = begin(people)
        for minute in range(0, 60, 10):
            people.sessions.touch(session_of(people, secret), NOW + 60 * minute)

        assert not session_of(people, secret).is_locked(NOW + 3600)

    def test_proven_for_ten_minutes(self, people: Register) -> None:
        """What lets people in is changed soon after a sign-in, or the password is asked for again (ASVS 7.5.1)."""
        session = session_of(people, begin(people))

        assert session.is_proven(NOW + PROVEN_S)
        assert not session.is_proven(NOW + PROVEN_S + 1)


class TestKiosk:
    def test_shows_only(self, people: Register) -> None:
        """A screen on the wall goes on for weeks, and has no right but to see, not even over the account."""
        session = session_of(people, begin(people, kind=KIOSK))

        assert session.rights(NOW + 20 * 86_400) == {Right.OPEN, Right.SEE}
        assert not session.is_proven(NOW)


class TestSecret:
    def test_only_the_right_one(self, people: Register) -> None:
        """No other text is a session, however odd."""
        secret = begin(people)
        assert len(secret) == 32  # 192 bits
        for text in ("", secret[:-1], secret + "x", secret.swapcase(), "é" * 20, "x" * 10_000):
            assert people.sessions.of(text, NOW) is None

    def test_forms_belong_to_a_session(self, people: Register) -> None:
        """Each session has a secret of its forms, from which its own cannot be told."""
        one, two = begin(people), begin(people)

        assert csrf_of(one) != csrf_of(two)
        assert one not in csrf_of(one)


class TestPost:
    def test_move(self, people: Register) -> None:
        """A person acts where there is a role, with the role of there."""
        session = session_of(people, secret := begin(people))
        assert session.role is Role.OPERATOR

        assert people.sessions.move(session, "snow")
        assert session_of(people, secret).role is Role.VIEWER
        assert not people.sessions.move(session, "video")
        assert session_of(people, secret).post == "snow"


class TestEnd:
    def test_one_and_the_others(self, people: Register) -> None:
        """A person sees the own sessions and ends one or all others; each end is told."""
        one, two, three = (begin(people, NOW + n) for n in range(3))
        mine = session_of(people, one)
        assert [s.address for s in people.sessions.of_person("nadia", NOW)] == ["192.0.2.9"] * 3

        people.sessions.end(session_of(people, two), NADIA, NOW)
        assert people.sessions.of(two, NOW) is None
        assert people.sessions.end_others(mine, NADIA, NOW) == 1
        assert people.sessions.of(three, NOW) is None
        assert people.sessions.of(one, NOW) is not None
        told = [row.action for _, row in people.records.waiting()]
        assert told[-2:] == ["logout", "session_ended"]

    def test_not_without_end(self, people: Register) -> None:
        """Twenty at once are enough; the oldest goes."""
        first = begin(people)
        for number in range(20):
            begin(people, NOW + 1 + number)

        assert len(people.sessions.of_person("nadia", NOW)) == 20
        assert people.sessions.of(first, NOW) is None
