"""The journal: lines that nobody can change, corrections that point, exports that are text, a relief that is signed."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.web_ui.conftest import ORIGIN

from pilotage import api
from pilotage_web.lines import Line, line_of
from pilotage_web.pages.journal import as_csv

PARIS = ZoneInfo("Europe/Paris")


def row(**more: Any) -> api.AuditRow:
    return api.AuditRow(
        **{"partition": "city", "number": 7, "time": 0.0, "kind": "log", "action": "note", **more}
    )


class TestLine:
    @pytest.mark.parametrize(
        ("kind", "subject", "link"),
        [
            ("plan", "plan:snow", "/plans/snow"),
            ("incident", "incident-2026-0042", "/incidents/2026-0042"),
            ("log", "row 12", "/journal?before=13#n12"),
            ("log", "report 2026-4", "/reports/2026-4"),
            ("alarm", "dark[s-1]", "/alarms/dark[s-1]"),
            ("override", "s-1.level", "/equipment/s-1"),
            ("engine", "", ""),
        ],
    )
    def test_link(self, kind: str, subject: str, link: str) -> None:
        """A line leads to the page of what it is about."""
        assert line_of(row(kind=kind, subject=subject)).link == link

    def test_who(self) -> None:
        """It names the person, the rule, or that somebody was erased."""
        assert line_of(row(people={"person": "ann"})).who == "ann"
        assert line_of(row(rule="plan:snow")).who == "snow"
        assert line_of(row(erased=["person"])).who == "…"

    def test_another_post(self) -> None:
        """Who acted for another post stands out."""
        assert line_of(row(people={"reason": "ice [!control: nobody there]"})).is_urgent


class TestExport:
    def test_no_formulas(self) -> None:
        """A text that a spreadsheet would take for a formula is text there."""
        line = Line(1, 0.0, "=cmd()", "", "log", "note", "", "", "@sum(1)")
        rows = list(csv.reader(io.StringIO(as_csv([line], PARIS).decode("utf-8-sig"))))
        assert rows[1] == [
            "1",
            "1970-01-01T01:00:00+01:00",
            "'=cmd()",
            "",
            "log",
            "note",
            "",
            "'@sum(1)",
        ]

    async def test_both_kinds(self, desk: Any, city: api.Client) -> None:
        """Lines go out as CSV and JSON, and are not kept by the browser."""
        client = desk.visitor("operator", person="exporter")
        await desk.send(client, "/journal", text="to be exported")
        found = await client.get("/journal/export?format=json&kind=log&person=exporter")
        assert [line["text"] for line in json.loads(found.content)] == ["to be exported"]
        assert found.headers["cache-control"] == "no-store"
        found = await client.get("/journal/export?format=csv&kind=log")
        assert "to be exported" in found.text
        assert (await client.get("/journal/export?format=xls")).status_code == 404


class TestPage:
    async def test_write_and_correct(self, desk: Any, city: api.Client) -> None:
        """A line is on the page at once; a correction is a line of its own that points to it."""
        client = desk.visitor("operator", person="karim")
        await desk.send(client, "/journal", text="ice on the <bridge>")
        text = (await client.get("/journal?person=karim&kind=log")).text
        assert "ice on the &lt;bridge&gt;" in text
        number = city.ask(api.ListAudit(kinds=["log"], person="karim"))[-1].number
        await desk.send(client, "/journal", text="the other bridge", corrects=str(number))
        text = (await client.get("/journal?kind=log")).text
        assert f'href="/journal?before={number + 1}#n{number}"' in text
        assert "ice on the &lt;bridge&gt;" in text

    async def test_post(self, desk: Any, city: api.Client) -> None:
        """Lines are found by the post at which they were written."""
        client = desk.visitor("operator")
        await desk.send(client, "/journal", text="from our post")
        assert "from our post" in (await client.get("/journal?kind=log&post=control")).text
        assert "from our post" not in (await client.get("/journal?kind=log&post=video")).text

    async def test_pages(self, desk: Any, city: api.Client) -> None:
        """Older lines are a link away."""
        for n in range(51):
            city.ask(api.WriteNote(text=f"line {n}", person="many"))
        client = desk.visitor("viewer")
        first = (await client.get("/journal?kind=log&person=many")).text
        assert "line 50" in first and "“line 0”" not in first
        oldest = city.ask(api.ListAudit(kinds=["log"], person="many", last=50))[0].number
        assert f"before={oldest}" in first
        older = (await client.get(f"/journal?kind=log&person=many&before={oldest}")).text
        assert "“line 0”" in older

    @pytest.mark.parametrize("query", ["kind=gossip", "before=-1", "before=x"])
    async def test_unknown(self, desk: Any, query: str) -> None:
        """A filter that does not exist is no page."""
        assert (await desk.visitor("viewer").get(f"/journal?{query}")).status_code == 404

    async def test_viewer(self, desk: Any, city: api.Client) -> None:
        """A viewer reads and does not write."""
        client = desk.visitor("viewer")
        assert (await desk.send(client, "/journal", text="x")).status_code == 403
        assert (await desk.send(client, "/journal/handover")).status_code == 403

    async def test_handover(self, desk: Any, city: api.Client) -> None:
        """The relief page names what is on and what is open; a signature is a line with its figures."""
        city.ask(api.SetPlan(plan="snow", level=1, person="ann", reason="ice"))
        city.ask(
            api.SetOverride(point="l-3.level", value=50, for_s=600, person="ann", reason="works")
        )
        client = desk.visitor("operator", person="nadia")
        text = (await client.get("/journal/handover")).text
        assert "Snow plan" in text
        assert "Darcy 1" in text and "works" in text
        assert "Schools &lt;b&gt;informed&lt;/b&gt;" in text
        await desk.send(client, "/journal/handover", remark="all quiet")
        text = (await client.get("/journal/handover")).text
        assert "1 plans, 1 overrides" in text
        assert "all quiet" in text

    async def test_handover_on_what_was_seen(self, desk: Any, city: api.Client) -> None:
        """Who signs on the sight of before signs nothing; the page is shown anew, with the remark."""
        client = desk.visitor("operator", person="nadia")
        page = (await client.get("/journal/handover")).text
        seen = re.search(r'name="seen" value="(\w+)"', page)
        assert seen
        city.ask(api.SetPlan(plan="snow", level=1, person="ann", reason="ice"))
        sent = {"seen": seen[1], "remark": "nothing is on"}
        answer = await desk.send(client, "/journal/handover", **sent)
        assert answer.status_code == 409
        assert 'value="nothing is on"' in answer.text
        assert "Nothing was signed" in answer.text and "Snow plan" in answer.text
        seen = re.search(r'name="seen" value="(\w+)"', answer.text)
        assert seen
        sent["seen"] = seen[1]
        assert (await desk.send(client, "/journal/handover", **sent)).status_code == 303

    async def test_no_line_to_correct(self, desk: Any, city: api.Client) -> None:
        """A correction of a line that is not there is refused, on the page and over the interface."""
        client = desk.visitor("operator")
        await desk.send(client, "/journal", text="no such line", corrects="999999")
        page = (await client.get("/journal")).text
        assert "There is no line 999999 to correct." in page
        assert "“no such line”" not in page
        headers = {"Origin": ORIGIN, "Idempotency-Key": secrets.token_urlsafe(9)}
        body = {"text": "no such line", "corrects": 999_999}
        assert (await client.post("/api/v1/journal", json=body, headers=headers)).status_code == 404
