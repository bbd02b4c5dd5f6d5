"""Rules asked of a whole engine: why, how they are written, what they did, and whether a draft is right."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.engine.runtime.desks.city_of_three import POINT, RULES, Eventually, report

from pilotage import api
from pilotage.runtime.desks.rule_check import MOST_BYTES
from pilotage.runtime.desks.rules import block_at
from pilotage.service import Service


async def quiet(service: Service, eventually: Eventually) -> None:
    """Let the first street be quiet, so that it is dimmed."""
    await report(service, eventually, pedestrian_detected=False, traffic__flow=20.0)


class TestWhy:
    async def test_with_places(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Clauses come with file, line and column; effects with who decides."""
        await quiet(service, eventually)
        found = await client.ask(api.WhyRule(rule="dim", instance="seg-1"))

        assert (found.verdict, found.state, found.at > 0) == ("acts", "holding", True)
        flow, walks = found.clauses
        row = RULES.splitlines()[flow.line - 1]
        assert row[flow.column - 1 :][: flow.length] == "segment.traffic.flow < 60 veh/h"
        assert (flow.part, flow.truth, flow.reads[0].text) == ("while", True, "20 veh/h")
        assert (walks.part, walks.needed, walks.truth) == ("unless", False, False)
        assert [(e.point, e.text, e.decider.name) for e in found.effects] == [
            (POINT, "30 %", "dim")
        ]

    async def test_why_not(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Of a street asked why not: a person stands above, and until when; or it is not in the set."""
        await quiet(service, eventually)
        await client.ask(
            api.SetOverride(point=POINT, value="90 %", for_s=60, person="nadia", reason="works")
        )
        below = await client.ask(api.WhyRule(rule="dim", target="seg-1"))
        outside = await client.ask(api.WhyRule(rule="dim", target="seg-3"))

        assert (below.verdict, below.effects[0].decider.name) == ("dominated", "nadia")
        assert below.effects[0].until is not None
        assert (outside.verdict, outside.clauses[0].text) == ("absent", "segment.dimmable")

    async def test_no_such_rule(self, client: api.AsyncClient) -> None:
        """A rule that is not there is an error with its mend, whatever is asked of it."""
        questions: tuple[api.Question[Any], ...] = (
            api.WhyRule(rule="x"), api.ReadRule(rule="x"), api.SurveyRule(rule="x"),
            api.ListInstances(rule="x"), api.ListTraces(rule="x"),
        )  # fmt: skip
        for question in questions:
            with pytest.raises(api.ApiError, match='no rule "x"') as caught:
                await client.ask(question)
            assert (caught.value.code, bool(caught.value.mend)) == ("unknown-rule", True)


class TestText:
    async def test_as_written(self, client: api.AsyncClient) -> None:
        """The text is the rule's own lines, with its clauses at their places, its tests and its instances."""
        found = await client.ask(api.ReadRule(rule="dim"))

        assert found.text.startswith("  dim:   # the quiet streets\n    title:")
        assert found.text.endswith("priority: saving}]\n")
        assert found.text == "".join(
            RULES.splitlines(keepends=True)[found.first_line - 1 :][: found.text.count("\n")]
        )
        assert (found.sort, found.owner, found.titles["fr"]) == ("hold", "lighting", "Abaisser")
        assert (found.tests, found.instances) == (["a quiet street is dimmed"], 2)
        assert [c.part for c in found.clauses] == ["while", "unless"]

    def test_block(self) -> None:
        """A declaration ends before the next one; comments and empty lines at its end are not its own."""
        text = "rules:\n  a:\n    x: 1\n\n    # inside\n    y: 2\n\n  # of b\n  b: {z: 3}\ntests:\n"

        assert block_at(text, 2, 3) == "  a:\n    x: 1\n\n    # inside\n    y: 2\n"
        assert block_at(text, 9, 3) == "  b: {z: 3}\n"
        assert block_at("", 1, 1) == ""


class TestSurvey:
    async def test_over_all(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """How the clauses stand over all instances, and who nearly acts."""
        await quiet(service, eventually)
        await report(service, eventually, "seg-2", pedestrian_detected=True, traffic__flow=20.0)
        found = await client.ask(api.SurveyRule(rule="dim"))

        assert (found.instances, found.looked, found.states) == (2, 2, {"holding": 1, "idle": 1})
        assert [(c.met, c.unmet, c.unknown) for c in found.counts] == [(2, 0, 0), (1, 1, 0)]
        assert found.near == [api.NearMiss("seg-2", 1)]

    async def test_instances(self, client: api.AsyncClient) -> None:
        """Instances are found by text and state, page by page."""
        first = await client.ask(api.ListInstances(rule="tell", limit=2))
        second = await client.ask(api.ListInstances(rule="tell", limit=2, after=first.next))

        assert [i.id for i in first.instances + second.instances] == ["seg-1", "seg-2", "seg-3"]
        assert second.next == ""
        one = await client.ask(api.ListInstances(rule="tell", text="G-2"))
        assert [i.id for i in one.instances] == ["seg-2"]
        assert (await client.ask(api.ListInstances(rule="dim", state="holding"))).instances == []


class TestDone:
    async def test_traces(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Each change of state with what it read and what it wanted, the newest first."""
        await quiet(service, eventually)
        await report(service, eventually, traffic__flow=90.0)
        traces = await _traces(client, 2)

        assert [(t.instance, t.before, t.after) for t in traces[:2]] == [
            ("seg-1", "holding", "idle"),
            ("seg-1", "unknown", "holding"),
        ]
        ended, began = traces[:2]
        assert [(d.point, d.text, d.level) for d in began.demands] == [(POINT, "30 %", 14)]
        assert ("seg-1.traffic.flow", "20 veh/h") in [(r.what, r.text) for r in began.reads]
        assert [(d.point, d.given_up) for d in ended.demands] == [(POINT, True)]
        one = await client.ask(api.ListTraces(rule="dim", limit=1))
        rest = await client.ask(api.ListTraces(rule="dim", limit=1, before=one.next))
        assert one.traces[0].decision > rest.traces[0].decision
        assert (await client.ask(api.ListTraces(rule="dim", instance="seg-2"))).traces == []

    async def test_figures(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Actions, demands and the last one are counted as decisions go to disk."""
        await quiet(service, eventually)
        await report(service, eventually, pedestrian_detected=True)
        await eventually(lambda: service.rule_figures.of("tell").actions)  # the later of the two
        dim, tell = await client.ask(api.ListRuleFigures())

        assert (dim.rule, dim.actions, dim.demands, dim.actions_24h) == ("dim", 1, 1, 1)
        assert (dim.last_instance, dim.tests, dim.errors) == ("seg-1", 1, 0)
        assert (tell.actions, tell.demands) == (1, 0)


class TestCheck:
    async def test_right(self, client: api.AsyncClient) -> None:
        """A rule that fits the city has no finding, and the loop goes on meanwhile."""
        text = RULES.partition("tests:")[0].replace("dim:", "dimmer:").replace("tell:", "tells:")
        checking = asyncio.ensure_future(client.ask(api.CheckRules(text=text)))
        async with api.AsyncClient(client._path) as other:
            answers = 0
            while not checking.done():
                await other.ask(api.GetStatus())
                answers += 1
                await asyncio.sleep(0.02)
        found = checking.result()

        assert (found.ok, found.findings, found.rules) == (True, [], 2)
        assert answers > 3

    async def test_mistakes_with_places(self, client: api.AsyncClient) -> None:
        """Each mistake has its line, its column and its mend; a name that is there already too."""
        wrong = RULES.partition("tests:")[0].replace("traffic.flow", "trafic.flow")
        found = await client.ask(api.CheckRules(text=wrong))
        (point,) = [f for f in found.findings if f.code == "E201"]

        assert not found.ok
        assert wrong.splitlines()[point.line - 1][point.column - 1 :].startswith("trafic")
        assert (point.length, "traffic" in point.label) == (len("trafic"), True)
        assert {f.message for f in found.findings if f.code == "E209"} == {
            'rule "dim" is declared twice',
            'rule "tell" is declared twice',
        }

        with pytest.raises(api.ApiError, match="at most"):
            await client.ask(api.CheckRules(text="#" * (MOST_BYTES + 1)))
        whole = await client.ask(api.CheckRules(text=RULES, file="rules/dim.yaml"))
        assert (whole.ok, whole.rules) == (True, 2)  # in place of its file its names are its own
        nonsense = await client.ask(api.CheckRules(text="rules: [\n\x00"))
        assert not nonsense.ok
        assert nonsense.findings[0].line >= 1


async def _traces(client: api.AsyncClient, least: int) -> list[api.Trace]:
    """Return the traces of the hold once so many are on disk."""
    while True:
        found = await client.ask(api.ListTraces(rule="dim"))
        if len(found.traces) >= least:
            return found.traces
        await asyncio.sleep(0.02)
