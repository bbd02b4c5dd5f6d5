"""The engine as a process: from a reading to a command, orders, reload, kill -9, and a stop in order."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from pilotage import api
from pilotage.runtime.journal import JournalReader

BAD_RULE = "\n  broken:\n    title: Broken\n    owner: lighting\n    while: trafic <\n"


@pytest.mark.parametrize("options", [(), ("--uvloop",)], ids=["asyncio", "uvloop"])
class TestDay:
    def test_reading_to_command(self, city: Any, options: tuple[str, ...]) -> None:
        """A quiet street is dimmed, a busy one is not; when it is busy again its light returns."""
        city.start(*options)
        city.report("s-1.flow", 41)
        city.report("s-2.flow", 500)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        city.report("s-1.flow", 200)
        city.until(lambda: city.sent() == ["s-1.level 30", "s-1.level 100"])
        assert city.ask(api.GetStatus()).loop == (options[0][2:] if options else "asyncio")
        assert "in service: 1 rules" in city.stop()

    def test_override(self, city: Any, options: tuple[str, ...]) -> None:
        """An operator's override wins over the rule, and what waits below returns with its release."""
        city.start(*options)
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent())
        done = city.run("override", "s-1.level", "80 %", "--for", "2h", "--reason", "works")
        assert (done.returncode, done.stderr) == (0, "")
        city.until(lambda: city.sent()[-1] == "s-1.level 80")
        detail = city.ask(api.GetPoint(point="s-1.level"))
        assert [(d.level, d.value) for d in detail.demands] == [(8, 80.0), (14, 30.0)]
        assert city.run("release", "s-1.level").returncode == 0
        city.until(lambda: city.sent()[-1] == "s-1.level 30")
        city.stop()


class TestQuestions:
    def test_views(self, city: Any) -> None:
        """A running engine shows its rules, their instances, and why a point is as it is."""
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent())
        (rule,) = city.ask(api.ListRules())
        assert (rule.name, rule.title, rule.instances) == (
            "dim-quiet-streets",
            "Dim quiet streets",
            2,
        )
        detail = city.ask(api.GetRule(rule="dim-quiet-streets"))
        assert {i.id: i.state for i in detail.instances}["s-1"] == "holding"
        assert "dim-quiet-streets" in city.ask(api.ExplainPoint(point="s-1.level")).text
        explained = city.ask(api.ExplainRule(rule="dim-quiet-streets", instance="s-1"))
        assert explained.details["state"] == "holding"
        with pytest.raises(api.ApiError, match="no rule"):
            city.ask(api.GetRule(rule="nothing"))
        assert city.ask(api.ListPlans()) == []
        assert city.ask(api.ListAlarms()) == []


class TestReload:
    def test_atomic(self, city: Any) -> None:
        """A mistake keeps the old rules and shows the place; once mended, the new rules act."""
        city.start()
        rules = city.folder / "rules" / "lighting.yaml"
        good = rules.read_text()
        rules.write_text(good + BAD_RULE)
        refused = city.run("reload")
        assert refused.returncode == 1
        assert "rules/lighting.yaml:" in refused.stdout
        assert "the old rules go on" in refused.stdout
        city.report("s-1.flow", 41)
        city.until(lambda: city.sent() == ["s-1.level 30"])
        rules.write_text(good.replace("30 %", "20 %"))
        assert city.run("reload").returncode == 0
        city.until(lambda: city.sent()[-1] == "s-1.level 20")

    def test_by_signal(self, city: Any) -> None:
        """SIGHUP does the same."""
        city.start()
        before = city.ask(api.GetStatus()).program
        rules = city.folder / "rules" / "lighting.yaml"
        rules.write_text(rules.read_text().replace("30 %", "20 %"))
        city.process.send_signal(signal.SIGHUP)
        city.until(lambda: city.ask(api.GetStatus()).program != before)


class TestKill:
    def test_write_ahead(self, city: Any) -> None:
        """After kill -9 every command that was sent stands in the journal, and ids are never given twice."""
        for round_ in range(3):
            city.start()
            wanted = len(city.sent()) + 4
            flow = 41
            while len(city.sent()) < wanted:
                before = len(city.sent())
                city.report("s-1.flow", flow)
                flow = 241 - flow
                city.until(lambda: len(city.sent()) > before, f"round {round_}")  # noqa: B023
            city.kill()
            (city.folder / "readings").write_text("")
        journal = JournalReader(city.folder / "var" / "journal.db")
        records = b"".join(r.record for r in journal.decisions("city"))
        ids = city.sent_ids()
        assert len(ids) == len(set(ids))
        assert [i for i in ids if f'"id":"{i}"'.encode() not in records] == []

    def test_second_engine(self, city: Any) -> None:
        """A second engine on the same storage says who runs already, exit 1; the first goes on."""
        city.start()
        second = city.run("run")
        assert second.returncode == 1
        assert f"an engine runs already: process {city.process.pid}" in second.stderr
        assert city.ask(api.GetStatus()).pid == city.process.pid
