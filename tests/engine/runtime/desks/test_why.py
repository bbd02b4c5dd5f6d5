"""Why things are as they are, asked of a whole engine: now from its state, then from its journal and history."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.runtime.desks.city_of_three import POINT, Eventually, report

from pilotage import api
from pilotage.service import Service


def override(value: str = "80 %") -> api.SetOverride:
    return api.SetOverride(point=POINT, value=value, for_s=600.0, person="nadia", reason="works")


class TestPoint:
    async def test_now(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Everything in one answer: what it reports, who decides, who would otherwise, and how far it is."""
        await report(
            service, eventually, pedestrian_detected=False, traffic__flow=20.0, lights__level=100.0
        )
        await client.ask(override())
        found = await client.ask(api.WhyPoint(point=POINT))

        assert (found.text, found.value_text, found.quality) == ("80 %", "100 %", "good")
        assert (found.who.sort, found.who.name, found.level) == ("person", "nadia", 8)
        assert found.winner is not None
        assert (found.winner.reason, found.winner.result) == ("works", "wins")
        assert found.otherwise is not None
        assert (found.otherwise.who.name, found.otherwise.who.titles, found.otherwise.text) == (
            "dim",
            {"fr": "Abaisser", "en": "Dim"},
            "30 %",
        )
        assert found.way is not None
        assert (found.way.state, found.way.sent_text, found.is_past) == ("sent", "80 %", False)

    async def test_then(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """At a time gone by the same is said from the journal, and the value from the history."""
        await report(
            service, eventually, pedestrian_detected=False, traffic__flow=20.0, lights__level=30.0
        )
        await asyncio.sleep(0.02)
        then = service.clock.now()
        await asyncio.sleep(0.02)
        await client.ask(override())
        now = await client.ask(api.WhyPoint(point=POINT))
        found = await client.ask(api.WhyPoint(point=POINT, at=then))

        assert (now.who.name, found.who.name) == ("nadia", "dim")
        assert (found.is_past, found.complete, found.text, found.at) == (True, True, "30 %", then)
        assert (found.value_text, found.quality) == ("30 %", "good")
        assert [d.who.name for d in found.demands] == ["dim"]
        assert found.otherwise is not None
        assert (found.otherwise.who.sort, found.otherwise.text) == ("default", "100 %")
        before = await client.ask(api.WhyPoint(point=POINT, at=then - 3600.0))
        assert (before.is_decided, before.demands, before.value) == (False, [], None)

    async def test_of_equipment_that_nobody_commands(self, client: api.AsyncClient) -> None:
        """A point that only reports has nothing to explain but its value."""
        found = await client.ask(api.WhyPoint(point="seg-1.traffic.flow"))

        assert (found.is_commandable, found.text, found.quality) == (False, "", "missing")

    async def test_no_such_point(self, client: api.AsyncClient) -> None:
        """A point that is not there is an error with its mend."""
        with pytest.raises(api.ApiError, match=r'no point "seg-9\.x"') as caught:
            await client.ask(api.WhyPoint(point="seg-9.x"))
        assert (caught.value.code, bool(caught.value.mend)) == ("unknown-point", True)


class TestCommands:
    async def test_with_their_ends(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Newest first: what it was told, by whom, and what became of it; page by page without a gap."""
        await report(service, eventually, lights__level=100.0)
        for value in ("80 %", "70 %"):
            await client.ask(override(value))
        await report(service, eventually, lights__level=70.0)

        async def told() -> list[api.CommandShown]:
            return (await client.ask(api.ListCommands(point=POINT))).commands

        found = await told()
        while found[0].outcome != "done":
            await asyncio.sleep(0.02)
            found = await told()
        assert [(c.text, c.outcome, c.who.name) for c in found] == [
            ("70 %", "done", "nadia"),
            ("80 %", "superseded", "nadia"),
        ]
        assert found[0].ended is not None
        first = await client.ask(api.ListCommands(point=POINT, limit=1))
        second = await client.ask(api.ListCommands(point=POINT, limit=1, before=first.next))
        assert [c.id for c in [*first.commands, *second.commands]] == [c.id for c in found]
