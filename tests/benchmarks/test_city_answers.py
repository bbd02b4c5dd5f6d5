"""Which change of the city had its command: expected answers are worked out by hand."""

from __future__ import annotations

from typing import Any

from benchmarks.city_answers import Answers, answers


def judged(asked: list[tuple[float, Any]], told: list[tuple[float, Any]]) -> Answers:
    """Return what became of one junction; equipment of two protocols notes asking and telling."""
    bus = {"asked": [("bus", "J.priority", value, at) for at, value in asked], "told": []}
    junction = {"asked": [], "told": [("J.priority", value, at) for at, value in told]}
    return answers([bus, junction])


class TestAnswered:
    def test_each_change_has_its_command(self) -> None:
        """Latency runs from a change to the first command after it with its value."""
        found = judged([(10.0, "b"), (25.0, "")], [(10.5, "b"), (11.0, "b"), (25.25, "")])
        assert (found.late["bus"], found.missing, found.wrong) == (
            [(10.0, 0.5), (25.0, 0.25)],
            {},
            [],
        )

    def test_overtaken(self) -> None:
        """Who leaves before the request has arrived needs none in time; the end must still be right."""
        found = judged([(10.0, "b"), (10.05, "")], [(10.1, "b"), (10.2, "")])
        assert (dict(found.missing), found.wrong) == ({}, [])
        found = judged([(10.0, "b"), (10.05, "")], [])
        assert (dict(found.missing), found.wrong) == ({}, [])


class TestRefused:
    def test_missing(self) -> None:
        """A change that stood for long and had no command is missing, and told in words."""
        found = judged([(10.0, "b"), (25.0, "c")], [(25.5, "c")])
        assert (dict(found.missing), found.wrong) == ({"bus": 1}, [])
        assert found.shown == [
            "J.priority missed 'b': asked 'b' at 0.00 s, 'c' at 15.00 s; told 'c' at 15.50 s"
        ]

    def test_lost_cancel(self) -> None:
        """The last change without its command is missing, and the device ends wrong."""
        found = judged([(10.0, "b"), (10.05, "")], [(10.1, "b")])
        assert (dict(found.missing), found.wrong) == ({"bus": 1}, ["J.priority"])

    def test_told_before_it_was_asked(self) -> None:
        """A command that came before its change is no answer."""
        found = judged([(10.0, "b")], [(9.0, "b")])
        assert dict(found.missing) == {"bus": 1}

    def test_nothing_at_all(self) -> None:
        """One change and no command is wrong, however short it stood."""
        assert judged([(10.0, "b")], []).wrong == ["J.priority"]
