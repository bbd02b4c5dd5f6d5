"""Equipment asked of a whole engine: lists that are filtered, and one piece with all its points, now and then."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.runtime.desks.city_of_three import POINT, Eventually, report

from pilotage import api
from pilotage.service import Service


async def ids(client: api.AsyncClient, question: api.ListEquipment) -> list[str]:
    return [e.id for e in (await client.ask(question)).equipment]


class TestList:
    async def test_filters(self, client: api.AsyncClient) -> None:
        """By domain, commune, kind and text in id or name, each alone and together."""
        assert await ids(client, api.ListEquipment()) == [
            "bus-7", "lamp-1", "seg-1", "seg-2", "seg-3",
        ]  # fmt: skip
        assert await ids(client, api.ListEquipment(domain="traffic")) == ["bus-7"]
        assert await ids(client, api.ListEquipment(zone="Dijon")) == ["seg-1", "seg-2"]
        assert await ids(client, api.ListEquipment(kind="lamp")) == ["lamp-1"]
        assert await ids(client, api.ListEquipment(text="rue B")) == ["seg-2"]
        assert await ids(client, api.ListEquipment(domain="lighting", zone="Chenôve")) == ["seg-3"]
        assert await ids(client, api.ListEquipment(domain="traffic", kind="lamp")) == []

    async def test_pages(self, client: api.AsyncClient) -> None:
        """Page by page without a gap, with the number of all."""
        first = await client.ask(api.ListEquipment(limit=3))
        second = await client.ask(api.ListEquipment(limit=3, after=first.next))

        assert (first.total, second.total, second.next) == (5, 5, "")
        assert [e.id for e in first.equipment + second.equipment] == sorted(
            e.id for e in first.equipment + second.equipment
        )

    async def test_looks(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """Each piece says how it looks, as the live pages show it, and can be found by that."""
        await report(service, eventually, "lamp-1", level=40.0)
        await client.ask(
            api.SetOverride(point=POINT, value="90 %", for_s=60, person="nadia", reason="works")
        )
        await report(service, eventually, lights__level=90.0)
        looks = {e.id: e.look for e in (await client.ask(api.ListEquipment())).equipment}

        assert (looks["seg-1"], looks["seg-2"]) == ("held", "silent")
        assert await ids(client, api.ListEquipment(look="held")) == ["seg-1"]

    async def test_what_can_be_asked(self, client: api.AsyncClient) -> None:
        """Kinds with their domain and number, and communes."""
        found = await client.ask(api.ListEquipmentFilters())

        assert [(k.domain, k.name, k.count) for k in found.kinds] == [
            ("lighting", "lamp", 1),
            ("lighting", "lighting_segment", 3),
            ("traffic", "bus", 1),
        ]
        assert found.zones == ["Chenôve", "Dijon", "Plombières"]


class TestOne:
    async def test_now(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """All points with value, quality and age, those that are commanded first; and who belongs to it."""
        await report(service, eventually, traffic__flow=20.0, pedestrian_detected=False)
        found = await client.ask(api.GetEquipment(id="seg-1"))
        points = {p.name: p for p in found.points}

        assert (found.kind, found.domain, found.name, found.zone) == (
            "lighting_segment", "lighting", "Rue Haute", "Dijon",
        )  # fmt: skip
        assert found.points[0].is_commandable
        assert (points["traffic.flow"].text, points["traffic.flow"].quality) == ("20 veh/h", "good")
        level = points["lights.level"]
        assert (level.wanted, level.by, level.level) == ("30 %", "dim", 14)
        assert found.relations["lamps"] == []
        lamp = await client.ask(api.GetEquipment(id="lamp-1"))
        assert lamp.belongs_to == {"lighting_segment": ["seg-3"]}

    async def test_then(
        self, service: Service, client: api.AsyncClient, eventually: Eventually
    ) -> None:
        """At a time gone by the values are those of the history."""
        await report(service, eventually, traffic__flow=20.0)
        await asyncio.sleep(0.02)
        then = service.clock.now()
        await asyncio.sleep(0.02)
        await report(service, eventually, pedestrian_detected=True)
        found = await client.ask(api.GetEquipment(id="seg-1", at=then))
        points = {p.name: p for p in found.points}

        assert (found.is_past, found.at) == (True, then)
        assert (points["traffic.flow"].text, points["pedestrian_detected"].text) == (
            "20 veh/h",
            "unknown",
        )
        assert points["dimmable"].text == "true"

    async def test_nobody(self, client: api.AsyncClient) -> None:
        """What is not in the inventory is an error with its mend."""
        with pytest.raises(api.ApiError, match='no equipment "seg-9"') as caught:
            await client.ask(api.GetEquipment(id="seg-9"))
        assert caught.value.mend
