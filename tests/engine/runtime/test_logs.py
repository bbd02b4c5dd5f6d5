"""The log: a line for people or an object for machines, and no line that a device could forge."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pilotage.runtime.health import Health
from pilotage.runtime.logs import Sparing, set_up_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


class TestText:
    def test_a_line(self, stream: io.StringIO) -> None:
        """A line has time, level, room and text."""
        set_up_logs("info", "text", stream)
        logging.getLogger("pilotage.supervisor").warning("connection %s is down", "lamps")
        date, _, level, room, *text = stream.getvalue().split()
        assert (len(date), level, room, " ".join(text)) == (
            10,
            "WARNING",
            "supervisor:",
            "connection lamps is down",
        )

    def test_cannot_be_forged(self, stream: io.StringIO) -> None:
        """A line break or a colour in a device's text begins no line and colours nothing."""
        set_up_logs("info", "text", stream)
        logging.getLogger("pilotage").info(
            "said %s", "x\n2026-01-01 ERROR engine: gone\x1b[31m\x9b31m"
        )
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()
        assert r"x\n2026-01-01" in stream.getvalue()

    def test_traceback(self, stream: io.StringIO) -> None:
        """A traceback follows its line, indented."""
        set_up_logs("info", "text", stream)
        try:
            raise KeyError("topic")
        except KeyError:
            logging.getLogger("pilotage").exception("it failed")
        first, *rest = stream.getvalue().splitlines()
        assert first.endswith("it failed")
        assert all(row.startswith("    ") for row in rest)
        assert rest[-1] == "    KeyError: 'topic'"


class TestJson:
    def test_an_object(self, stream: io.StringIO) -> None:
        """Each line is one JSON object, whatever its text holds."""
        set_up_logs("info", "json", stream)
        logging.getLogger("pilotage.door").error("a\nb %s", "é")
        (line,) = stream.getvalue().splitlines()
        row = json.loads(line)
        assert (row["level"], row["room"], row["text"]) == ("error", "pilotage.door", "a\nb é")
        assert row["time"].endswith("+00:00")


class TestLevel:
    def test_from_on(self, stream: io.StringIO) -> None:
        """What is less important than the level is not written, and setting up twice writes once."""
        set_up_logs("info", "text", stream)
        set_up_logs("warning", "text", stream)
        logging.getLogger("pilotage").info("quiet")
        logging.getLogger("pilotage").warning("loud")
        assert stream.getvalue().count("loud") == 1
        assert "quiet" not in stream.getvalue()


class TestEvent:
    def test_fields(self, stream: io.StringIO) -> None:
        """A JSON line has its event, and what belongs to it; what a library logs is another one."""
        set_up_logs("info", "json", stream)
        health = Health()
        health.raised("journal.disk", "the disk is full", "free space")
        health.remark("refused.lamps.city/lamp/7", "no binding understands it")
        health.cleared("journal.disk")
        logging.getLogger("some_library").warning("a library says something")
        rows = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert [(r["event"], r.get("code", r.get("about"))) for r in rows] == [
            ("finding.raised", "journal.disk"),
            ("remark", "refused"),
            ("finding.cleared", "journal.disk"),
            ("other", None),
        ]
        assert rows[0]["mend"] == "free space"


class TestSparing:
    def test_flapping(self, stream: io.StringIO) -> None:
        """What flaps writes so many lines a minute; the next line says how many were held back, and others are not."""
        now = [0.0]
        set_up_logs("info", "text", stream)
        (handler,) = (h for h in logging.getLogger().handlers if getattr(h, "is_pilotage", False))
        handler.filters[:] = [Sparing(most=3, steady=lambda: now[0])]
        health = Health()
        for _ in range(10):
            health.raised("connection.lamps", "down")
            health.cleared("connection.lamps")
        health.raised("connection.gates", "down")
        lines = stream.getvalue().splitlines()
        assert len([line for line in lines if "connection.lamps: down" in line]) == 3
        assert len([line for line in lines if "connection.gates: down" in line]) == 1
        now[0] = 61.0
        health.raised("connection.lamps", "down")
        assert stream.getvalue().splitlines()[-1].endswith("(7 lines like this were held back)")

    def test_debug(self, stream: io.StringIO) -> None:
        """Who asks for debug lines gets all of them."""
        set_up_logs("debug", "text", stream)
        for number in range(100):
            logging.getLogger("pilotage").debug("line %d", number)
        assert len(stream.getvalue().splitlines()) == 100
