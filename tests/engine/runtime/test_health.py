"""Findings stand until they are cleared, and the log is not flooded."""

from __future__ import annotations

import logging

import pytest

from pilotage.model.diagnostics import Severity
from pilotage.runtime.health import Health, HealthFinding


class TestFindings:
    def test_stands_until_cleared(self) -> None:
        """A finding keeps the time of its first saying and its newest text, and goes when it is cleared."""
        times = iter([10.0, 20.0])
        health = Health(now=lambda: next(times))
        health.raised("disk", "full", "free space")
        health.raised("disk", "still full", "free space")
        assert health.findings == (
            HealthFinding("disk", Severity.ERROR, "still full", "free space", 10.0),
        )
        assert not health.is_sound

    def test_cleared(self, health: Health) -> None:
        """What was cleared does not stand any more, and may be cleared again."""
        health.raised("disk", "full", "free space")
        health.cleared("disk")
        health.cleared("disk")
        assert health.findings == ()
        assert health.is_sound

    def test_warning_is_sound(self, health: Health) -> None:
        """A warning does not make the engine unsound."""
        health.raised("old", "something is old", severity=Severity.WARNING)
        assert health.is_sound

    def test_logged_once(self, health: Health, caplog: pytest.LogCaptureFixture) -> None:
        """A finding is logged when it comes and when it goes, not each time that it is said."""
        caplog.set_level(logging.INFO, "pilotage.health")
        for text in ("refused", "timed out", "refused"):
            health.raised("link", text)
        health.cleared("link")
        health.cleared("link")
        assert [r.message for r in caplog.records] == [
            "link: refused",
            "link: right again, was: refused",
        ]


class TestRemark:
    def test_rate_limited_per_key(self, caplog: pytest.LogCaptureFixture) -> None:
        """Of a thousand lines with one key, one is logged in a minute, and the next says how many were held back."""
        now = 0.0
        health = Health(steady=lambda: now)
        for _ in range(1_000):
            health.remark("refused.seg-1", "seg-1 was refused")
        health.remark("refused.seg-2", "seg-2 was refused")
        now = 61.0
        health.remark("refused.seg-1", "seg-1 was refused")
        assert [r.message for r in caplog.records] == [
            "seg-1 was refused",
            "seg-2 was refused",
            "seg-1 was refused (999 more like this since the last line)",
        ]

    def test_bounded(self, health: Health) -> None:
        """A flood of different names does not fill the memory."""
        logging.getLogger("pilotage.health").setLevel(logging.ERROR)
        for index in range(25_000):
            health.remark(f"refused.{index}", "x")
        logging.getLogger("pilotage.health").setLevel(logging.NOTSET)
        assert len(health._held_back) <= 10_000
