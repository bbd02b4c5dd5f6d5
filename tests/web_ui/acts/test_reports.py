"""Calls: taken down by keyboard, attached to what is known, their callers' numbers erased after 30 days."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pilotage import api
from pilotage_web.intake import PHONE_S, Intake, metres
from pilotage_web.pages.reports import known_near, matching, mistakes

NEW_YEAR = 1_767_222_000.0
"""2026-01-01 00:00:00 in Paris."""
FIELDS: dict[str, Any] = {
    "person": "ann", "post": "calls", "what": "lamp", "urgent": False, "place": "", "spot": "Rue Verte", "zone": "",
    "latitude": None, "longitude": None, "details": "", "alarm": "", "incident": "",
}  # fmt: skip


class Clock:
    now = NEW_YEAR

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def intake(tmp_path: Path) -> Any:
    clock = Clock()
    intake = Intake(tmp_path / "web" / "reports.db", ZoneInfo("Europe/Paris"), clock)
    yield intake, clock
    await intake.close()


class TestIntake:
    async def test_numbers(self, intake: Any) -> None:
        """Calls are numbered within their year, in the city's own time."""
        calls, clock = intake
        assert [(await calls.add(**FIELDS)).id for _ in range(2)] == ["2026-1", "2026-2"]
        clock.now -= 1.0
        assert (await calls.add(**FIELDS)).id == "2025-1"
        assert [r.id for r in await calls.last(9)] == ["2026-2", "2026-1", "2025-1"]

    async def test_phone_is_erased(self, intake: Any, tmp_path: Path) -> None:
        """After 30 days the number is gone, from the file as well; the call stays."""
        calls, clock = intake
        found = await calls.add(phone="03 80 12 34 56", **FIELDS)
        assert await calls.phone(found.id) == ("03 80 12 34 56", NEW_YEAR + PHONE_S)
        assert b"03 80 12 34 56" in (tmp_path / "web" / "reports.db").read_bytes()
        clock.now += PHONE_S
        assert await calls.phone(found.id) is None
        assert b"03 80 12 34 56" not in (tmp_path / "web" / "reports.db").read_bytes()
        assert await calls.find(found.id) == found

    async def test_calls_of_an_alarm(self, intake: Any) -> None:
        """Calls that were attached to an alarm are counted for a day."""
        calls, clock = intake
        for _ in range(3):
            await calls.add(**{**FIELDS, "alarm": "dark[s]"})
        assert await calls.calls_of(["dark[s]", "x"]) == {"dark[s]": 3}
        clock.now += 90_000.0
        assert await calls.calls_of(["dark[s]"]) == {}


def place(name: str, zone: str = "Dijon") -> api.Place:
    return api.Place(0, name, "street", zone, name, 47.32, 5.04)


class TestFinding:
    @pytest.mark.parametrize("text", ["rue de la lib", "liberte", "LIBERTÉ dij", "lib rue"])
    def test_as_it_is_said(self, text: str) -> None:
        """Accents, case and order do not count, beginnings of words do."""
        places = [place("Rue de la Liberté"), place("Rue Verte")]
        assert [p.name for p in matching(places, text)] == ["Rue de la Liberté"]

    def test_nothing(self) -> None:
        """Nothing said is nothing found, and a street with a hundred lamps is there once."""
        assert matching([place("Rue Verte")], " ") == []
        assert len(matching([place("Rue Verte")] * 100, "verte")) == 1

    def test_metres(self) -> None:
        """A thousandth of a degree to the north is 111 m, to the east at this latitude 75 m."""
        assert metres((47.32, 5.04), (47.321, 5.04)) == pytest.approx(111.3, abs=0.1)
        assert metres((47.32, 5.04), (47.32, 5.041)) == pytest.approx(75.5, abs=0.1)

    def test_known(self) -> None:
        """Alarms within 300 m are known, the most urgent first."""
        near = api.Alarm(id="a", state="raised", severity="low", place=(47.321, 5.04))
        urgent = api.Alarm(id="b", state="raised", severity="critical", place=(47.322, 5.04))
        far = api.Alarm(id="c", state="raised", severity="critical", place=(47.33, 5.04))
        found = known_near([near, urgent, far], (47.32, 5.04))
        assert [alarm.id for alarm, _ in found] == ["b", "a"]

    def test_mistakes(self) -> None:
        """All mistakes are told at once, beside their fields."""
        assert set(mistakes("", "fire", "call me")) == {"where", "what", "phone"}
        assert mistakes("Rue Verte", "lamp", "+33 3 80 12 34 56") == {}


class TestPage:
    async def test_a_known_cause(self, desk: Any, city: api.Client) -> None:
        """What is known nearby is proposed, and says how many called already."""
        city.ask(
            api.SetOverride(point="seg-1.lights.level", value=5, for_s=600, person="t", reason="t")
        )
        client = desk.visitor("operator", person="lea")
        text = (await client.get("/reports/near?where=liberte")).text
        assert "Dark street" in text
        form = {"where": "liberte", "place": "seg-1", "what": "lamp", "alarm": "dark-street[seg-1]"}
        assert (await desk.send(client, "/reports", **form, phone="0380123456")).status_code == 303
        assert "1 calls already" in (await client.get("/reports/near?where=liberte")).text
        (line,) = city.ask(api.ListAudit(kinds=["log"], action="report", person="lea"))
        assert "Rue de la Liberté, Dijon" in line.people["reason"]
        assert "0380123456" not in str(line)

    async def test_phone_is_for_few(self, desk: Any, city: api.Client) -> None:
        """The caller's number is shown to who takes calls, to nobody else."""
        client = desk.visitor("operator")
        await desk.send(client, "/reports", where="somewhere", what="other", phone="0380999999")
        (found, *_) = (await client.get("/api/v1/reports")).json()["items"]
        assert "0380999999" in (await client.get(f"/reports/{found['id']}")).text
        assert (
            "0380999999" not in (await desk.visitor("viewer").get(f"/reports/{found['id']}")).text
        )
        assert "0380999999" not in str(found)

    async def test_danger(self, desk: Any, city: api.Client) -> None:
        """Danger opens an incident of priority 1 with the call attached."""
        client = desk.visitor("operator")
        form = {"where": "Pont de <l'Ouche>", "what": "obstacle", "urgent": "yes"}
        await desk.send(client, "/reports", **form)
        newest = city.ask(api.ListIncidents())[0]
        assert (newest.severity, "Pont de <l'Ouche>" in newest.title) == ("critical", True)
        assert "Pont de &lt;l&#39;Ouche&gt;" in (await client.get("/reports")).text

    async def test_attached_by_another(self, desk: Any, city: api.Client) -> None:
        """A call that a colleague has attached meanwhile stays where it is."""
        client = desk.visitor("operator")
        await desk.send(client, "/reports", where="somewhere", what="other")
        (call, *_) = (await client.get("/api/v1/reports")).json()["items"]
        ids = [
            city.ask(
                api.ActOnIncident(incident="", action="open", person="ann", text=text)
            ).text.split()[-1]
            for text in ("first", "second")
        ]
        path = f"/reports/{call['id']}"
        assert (await desk.send(client, path, incident=ids[0])).status_code == 303
        assert (await desk.send(client, path, incident=ids[1])).status_code == 409
        (found, *_) = (await client.get("/api/v1/reports")).json()["items"]
        assert found["incident"] == ids[0]

    async def test_mistakes(self, desk: Any) -> None:
        """A form with mistakes comes back whole, with each beside its field."""
        client = desk.visitor("operator")
        sent = await desk.send(client, "/reports", where="", what="lamp", details="near the school")
        assert sent.status_code == 422
        assert "Where is it?" in sent.text and "near the school" in sent.text

    async def test_twice(self, desk: Any) -> None:
        """The same form sent twice is one call."""
        client = desk.visitor("operator")
        for _ in range(2):
            await desk.send(client, "/reports", key="once", where="Rue Verte", what="lamp")
        assert len((await client.get("/api/v1/reports")).json()["items"]) == 1

    async def test_viewer(self, desk: Any) -> None:
        """A viewer takes no calls."""
        sent = await desk.send(desk.visitor("viewer"), "/reports", where="x", what="lamp")
        assert sent.status_code == 403
