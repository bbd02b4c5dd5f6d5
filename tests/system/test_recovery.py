"""The engine is killed, and goes on as if it had only been away: overrides, plans, alarms, delays, running stories."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.journal.schema import sqlite

MORE_RULES = """\
version: 1
plans:
  night-works:
    title: Works at night
    owner: roads
    levels:
      - level: 1
        name: works
        hold:
          - each: {street: {kind: test_street, where: street.id == "s-2"}}
            set: street.level
            to: 70 %
            priority: plan
    activation: {operators: [roads]}
alarms:
  jam:
    title: Jam
    owner: traffic
    for_each: {street: {kind: test_street}}
    raise_while: street.flow > 900 veh/h
    severity: high
    text: "Jam in {street.name}"
rules:
  never-on:
    title: Put off by hand
    owner: traffic
    for_each: {street: {kind: test_street}}
    while: street.flow > 1900 veh/h
    hold: [{set: street.level, to: 20 %, priority: saving}]
  tidy-up:
    title: Counts on after a while
    owner: traffic
    for_each: {street: {kind: test_street}}
    when: (street.flow > 800 veh/h) becomes true
    if_unknown: release
    do:
      - wait: 4 s
      - set: street.level
        to: 10 %
        priority: emergency
        at_most: 1 h
"""

ALARMS = [("break-glass[snow]", "raised"), ("jam[s-2]", "acknowledged")]


@pytest.fixture
def busy(city: Any) -> Any:
    """A city with a plan that stands, an override, an alarm that was seen, a rule put off by hand, broken glass, and a story that waits."""
    (city.folder / "rules" / "more.yaml").write_text(MORE_RULES)
    city.start()
    city.report("s-1.flow", 41)
    city.until(lambda: "s-1.level 30" in city.sent())
    city.report("s-2.flow", 1000)
    city.until(lambda: city.ask(api.ListAlarms()))
    for order in (
        api.SetPlan(plan="night-works", level=1, person="root", reason="cables"),
        api.SetOverride(
            point="s-1.level", value=80.0, for_s=7_200.0, person="root", reason="works"
        ),
        api.ActOnAlarm(alarm="jam[s-2]", action="acknowledge", person="root"),
        api.OrderRule(rule="never-on", action="shadow", person="eve", reason="seen first"),
        api.OrderRule(rule="never-on", action="disable", person="eve", reason="not yet"),
        api.BreakGlass(person="karim", post="snow", reason="alone", for_s=1800),
    ):
        assert city.ask(order).taken
    city.until(lambda: city.sent()[-1] == "s-1.level 80" or "s-1.level 80" in city.sent())
    return city


def standing(city: Any) -> dict[str, Any]:
    """Return what must be the same after a restart."""
    detail = city.ask(api.GetPoint(point="s-1.level"))
    return {
        "demands": [(d.owner, d.level, d.value, d.until, d.reason) for d in detail.demands],
        "plans": [(p.name, p.level) for p in city.ask(api.ListPlans())],
        "alarms": [(a.id, a.state, a.since) for a in city.ask(api.ListAlarms())],
        "rules": [(r.name, r.hand, r.enabled, r.mode) for r in city.ask(api.ListRules())],
        "glass": city.ask(api.ListGlass()),
    }


def log_of(city: Any) -> str:
    """End the engine in order and return its log."""
    return str(city.stop())


class TestKill:
    def test_goes_on(self, busy: Any) -> None:
        """After kill -9 each demand, plan and alarm stands as it stood, and the story takes its step."""
        before = standing(busy)
        assert [d[0] for d in before["demands"]] == ["operator root", "dim-quiet-streets"]
        assert before["plans"] == [("night-works", 1)]
        assert [a[1] for a in before["alarms"]] == ["raised", "acknowledged"]
        assert "s-2.level 10" not in busy.sent()
        busy.kill()
        (busy.folder / "readings").write_text("")
        busy.start()
        assert standing(busy) == before
        busy.until(lambda: "s-2.level 10" in busy.sent(), "the story did not go on")
        assert "goes on as it was" in log_of(busy)

    def test_again_and_again(self, busy: Any) -> None:
        """Five kills in a row, some before the first snapshot, lose nothing."""
        before = standing(busy)
        for _ in range(5):
            busy.kill()
            (busy.folder / "readings").write_text("")
            busy.start()
        assert standing(busy) == before

    def test_decided_as_recorded(self, busy: Any) -> None:
        """What is run again decides what the journal holds, byte for byte."""
        busy.kill()
        busy.start()
        codes = {f.code for f in busy.ask(api.GetHealth()).findings}
        assert not codes & {"recovery.differs", "recovery.carried"}


class TestFirstMoments:
    def test_before_any_snapshot(self, city: Any) -> None:
        """An engine that dies before its first snapshot is whole runs everything again from its start."""
        city.start()
        city.report("s-1.flow", 41)
        city.until(lambda: "s-1.level 30" in city.sent())
        said = city.run("override", "s-1.level", "80 %", "--for", "2h", "--reason", "works")
        assert said.returncode == 0, said.stderr
        before = standing(city)
        city.kill()
        for file in Path(city.folder, "var", "snapshots").glob("*.snapshot"):
            file.unlink()
        (city.folder / "readings").write_text("")
        city.start()
        assert standing(city) == before


class TestStop:
    def test_nothing_to_run_again(self, busy: Any) -> None:
        """A stop in order keeps the state, so that the next start has nothing to replay."""
        before = standing(busy)
        busy.stop()
        (busy.folder / "readings").write_text("")
        busy.start()
        assert standing(busy) == before
        (ticks,) = re.findall(r"(\d+) ticks since the snapshot", log_of(busy))
        assert int(ticks) == 0


class TestUnchanged:
    """What has not changed is not read again."""

    TAKEN = "taken from the snapshot"

    def test_taken_from_the_snapshot(self, busy: Any) -> None:
        """Rules and inventory that are as they were are taken from the snapshot."""
        busy.stop()
        busy.start()
        busy.report("s-1.flow", 500)
        assert self.TAKEN in log_of(busy)

    @pytest.mark.parametrize("file", ["rules/more.yaml", "streets.yaml", "config.yaml"])
    def test_changed(self, busy: Any, file: str) -> None:
        """A file that holds anything else is read, with all the others."""
        busy.stop()
        path = busy.folder / file
        path.write_text(path.read_text() + "\n# a remark\n")
        busy.start()
        assert self.TAKEN not in log_of(busy)

    def test_new_file(self, busy: Any) -> None:
        """A file that is new in a folder is read."""
        busy.stop()
        (busy.folder / "rules" / "new.yaml").write_text("version: 1\n")
        busy.start()
        assert self.TAKEN not in log_of(busy)


class TestOtherRules:
    def test_changed_meanwhile(self, busy: Any) -> None:
        """Rules that were changed while the engine was down are adopted; the others keep their state."""
        before = standing(busy)
        busy.kill()
        (busy.folder / "readings").write_text("")
        rules = busy.folder / "rules" / "lighting.yaml"
        rules.write_text(rules.read_text().replace("30 %", "20 %"))
        busy.start()
        after = standing(busy)
        assert (after["plans"], after["alarms"]) == (before["plans"], before["alarms"])
        assert [(d[0], d[2]) for d in after["demands"]] == [
            ("operator root", 80.0),
            ("dim-quiet-streets", 20.0),
        ]


def one_street_more(city: Any) -> None:
    """Start a city that was killed with one more street."""
    (city.folder / "readings").write_text("")
    streets = city.folder / "streets.yaml"
    streets.write_text(streets.read_text() + "s-3: {kind: test_street}\n")
    city.start()


class TestOtherInventory:
    def test_one_street_more(self, busy: Any) -> None:
        """With another inventory a new engine takes up what lasts, and says what did not."""
        before = standing(busy)
        busy.kill()
        one_street_more(busy)
        after = standing(busy)
        assert after["plans"] == before["plans"]
        assert [(a[0], a[1]) for a in after["alarms"]] == ALARMS
        assert (after["rules"], after["glass"]) == (before["rules"], before["glass"])
        assert after["demands"][0] == before["demands"][0]
        assert [d[2] for d in after["demands"]] == [80.0, 30.0]
        codes = {f.code for f in busy.ask(api.GetHealth()).findings}
        assert "recovery.carried" in codes
        busy.kill()
        busy.start()
        assert standing(busy) == after

    def test_no_snapshot_yet(self, busy: Any) -> None:
        """An engine that died before its first snapshot was whole loses no order either, with another inventory too."""
        before = standing(busy)
        busy.kill()
        for file in Path(busy.folder, "var", "snapshots").glob("*"):
            file.unlink()
        one_street_more(busy)
        after = standing(busy)
        assert after["plans"] == before["plans"]
        assert [(a[0], a[1]) for a in after["alarms"]] == ALARMS
        assert (after["rules"], after["glass"]) == (before["rules"], before["glass"])
        assert after["demands"][0] == before["demands"][0]


class TestDamage:
    def test_damaged_snapshots(self, busy: Any) -> None:
        """Snapshots that are damaged are told of, and everything since the start is run again instead."""
        before = standing(busy)
        busy.stop()
        for file in Path(busy.folder, "var", "snapshots").glob("*.snapshot"):
            file.write_bytes(file.read_bytes()[:-10] + b"0123456789")
        (busy.folder / "readings").write_text("")
        busy.start()
        codes = {f.code.partition(".city")[0] for f in busy.ask(api.GetHealth()).findings}
        assert "snapshot.damaged" in codes
        assert standing(busy) == before


class TestRecord:
    """What is run again is compared with what the journal holds."""

    @staticmethod
    def change(city: Any, *statements: str) -> None:
        """Change the journal of an engine that is dead."""
        with closing(sqlite.connect(city.folder / "var" / "journal.db")) as journal:
            for statement in statements:
                assert journal.execute(statement).rowcount == 1, statement
            journal.commit()

    def test_undelivered(self, busy: Any) -> None:
        """A decision that was lost with the last moments is decided again, recorded, and sent."""
        busy.kill()
        for file in Path(busy.folder, "var", "snapshots").glob("*.snapshot"):
            file.unlink()
        journal = JournalReader(busy.folder / "var" / "journal.db")
        *_, last = journal.decisions("city")
        self.change(
            busy,
            f"DELETE FROM decisions WHERE number = {last.number}",
            f"UPDATE partitions SET number = {last.number - 1}",
        )
        (busy.folder / "readings").write_text("")
        busy.start()
        again = next(journal.decisions("city", after=last.number - 1))
        assert again == last
        assert "recovery.differs" not in {f.code for f in busy.ask(api.GetHealth()).findings}

    def test_replay(self, busy: Any) -> None:
        """`pilotage replay` decides what was recorded, over a crash and a stop; a changed record is found."""
        busy.kill()
        (busy.folder / "readings").write_text("")
        busy.start()
        busy.report("s-1.flow", 500)
        busy.report("s-2.flow", 41)
        busy.until(lambda: busy.ask(api.GetPoint(point="s-2.flow")).point.value == 41)
        busy.stop()
        same = busy.run("replay")
        assert same.returncode == 0, same.stdout + same.stderr
        assert "the same, byte for byte" in same.stdout
        self.change(
            busy,
            "UPDATE decisions SET record = CAST(replace(record, '30.0', '31.0') AS BLOB) WHERE number ="
            " (SELECT max(number) FROM decisions WHERE instr(record, '30.0'))",
        )
        other = busy.run("replay")
        assert other.returncode == 1
        assert "not the same" in other.stdout

    def test_rules_of_their_time(self, busy: Any) -> None:
        """Each stretch is run again with the rules that were in force, over reloads and changes while the engine was down."""
        rules = busy.folder / "rules" / "lighting.yaml"
        rules.write_text(rules.read_text().replace("30 %", "20 %"))
        assert busy.run("reload").returncode == 0
        busy.report("s-1.flow", 42)
        busy.until(lambda: busy.ask(api.GetPoint(point="s-1.flow")).point.value == 42)
        busy.kill()
        rules.write_text(rules.read_text().replace("20 %", "25 %"))
        (busy.folder / "readings").write_text("")
        busy.start()
        busy.stop()
        rules.write_text(rules.read_text().replace("25 %", "15 %"))
        same = busy.run("replay")
        assert same.returncode == 0, same.stdout + same.stderr
        assert "the start of the engine" in same.stdout

    def test_other_decision(self, busy: Any) -> None:
        """A record that says otherwise is told of; the engine goes on."""
        busy.kill()
        for file in Path(busy.folder, "var", "snapshots").glob("*.snapshot"):
            file.unlink()
        self.change(
            busy,
            "UPDATE decisions SET record = CAST(replace(record, '30.0', '31.0') AS BLOB) WHERE number ="
            " (SELECT min(number) FROM decisions WHERE instr(record, '30.0'))",
        )
        (busy.folder / "readings").write_text("")
        busy.start()
        assert "recovery.differs" in {f.code for f in busy.ask(api.GetHealth()).findings}
