"""`pilotage top` and the figures that it shows, of a real engine."""

from __future__ import annotations

from typing import Any

from pilotage import api


class TestFigures:
    def test_a_reading_counts(self, city: Any) -> None:
        """Two figures show what came between them; one view names the site, the connection, and that nothing is wrong."""
        city.start()
        before = city.ask(api.GetFigures())
        city.report("s-1.flow", 41)
        city.until(lambda: city.ask(api.GetFigures()).ends.get("done", 0) == 1)
        after = city.ask(api.GetFigures())
        assert (
            after.readings["field"] - before.readings.get("field", 0) == 2
        )  # and what it read back
        assert after.latency[-1].count - before.latency[-1].count == 1
        assert after.decisions > before.decisions
        assert after.at > before.at
        assert after.memory > 10_000_000
        assert after.files > 3
        shown = city.run("top", "--once", "--every", "0.3")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "Testville" in shown.stdout
        assert "sound" in shown.stdout
        (line,) = (line for line in shown.stdout.splitlines() if line.startswith("field"))
        assert line.split()[1] == "up"
        assert "to command" in shown.stdout

    def test_no_engine(self, city: Any) -> None:
        """Without an engine it says so, and how to start one."""
        shown = city.run("top", "--once")
        assert shown.returncode == 1
        assert "mend" in shown.stderr
