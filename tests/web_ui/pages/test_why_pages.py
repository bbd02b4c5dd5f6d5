"""Equipment, rules and health: the pages over a real engine, readable without scripts, in both languages."""

from __future__ import annotations

import asyncio
import html
import re
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from tests.web_ui.city import PILOTAGE
from tests.web_ui.conftest import ORIGIN

from pilotage import api
from pilotage_web.moments import read_moment
from pilotage_web.pages.health import certificates_view, milliseconds, p99
from pilotage_web.pages.rules import lines_view, rules_view
from pilotage_web.request import Who
from pilotage_web.rights import Right
from pilotage_web.texts import Texts

Desk = Any
HERE = "/equipment/lighting_segment/seg-1"


class Door:
    """The door to the engine, where every point is recorded and of one privacy."""

    def __init__(self, city: Any, privacy: str) -> None:
        self._city = city
        self._privacy = privacy

    async def ask(self, question: Any) -> Any:
        if isinstance(question, api.HistoryOf):
            return api.PointHistory(
                point=question.point,
                type="number",
                unit="%",
                privacy=self._privacy,
                policy="each",
                since=0.0,
                until=86_400.0,
            )
        found = await self._city.ask(question)
        if isinstance(question, api.GetEquipment):
            points = [msgspec.structs.replace(p, privacy=self._privacy) for p in found.points]
            return msgspec.structs.replace(found, points=points)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._city, name)


class TestNoTrack:
    @pytest.mark.parametrize("privacy", ["internal", "personal", "sensitive"])
    async def test_of_a_person(self, desk: Desk, privacy: str) -> None:
        """Where a person was all day is on no page, nor in a browser over the interface; programs with a token may read it."""
        desk.frame.city = Door(desk.frame.city, privacy)
        client, is_shown = desk.visitor("viewer"), privacy == "internal"
        path = "/api/v1/points/seg-1.lights.level/history"
        text = (await client.get(f"{HERE}?point=lights.level")).text
        assert ("over 24 hours" in text) is is_shown
        assert ("its course is not shown" in text) is not is_shown
        assert (await client.get(path)).status_code == (200 if is_shown else 403)
        desk.people.add(Who("program", scopes=frozenset({Right.SEE})))
        headers = {"Authorization": "Bearer program"}
        assert (await desk.visitor().get(path, headers=headers)).status_code == 200


class TestEquipmentList:
    async def test_filters(self, desk: Desk) -> None:
        """Filters stand in the address; what fits is listed with its look in words."""
        client = desk.visitor("viewer")
        everything = (await client.get("/equipment")).text
        streets = (await client.get("/equipment?kind=lighting_segment&q=libert")).text

        assert f'href="{HERE}"' in everything
        assert f'href="{HERE}"' in streets
        assert "/equipment/lighting_segment/seg-2" not in streets
        assert 'value="libert"' in streets

    async def test_nothing_fits(self, desk: Desk) -> None:
        """An empty list says what to do; hostile text stays text."""
        answer = await desk.visitor("viewer").get("/equipment?q=<script>x")
        assert answer.status_code == 200
        assert "Nothing fits" in answer.text
        assert "<script>x" not in answer.text

    async def test_in_french(self, desk: Desk) -> None:
        """Kinds, looks and headings are French for who reads French."""
        text = (await desk.visitor("viewer", language="fr").get("/equipment")).text
        assert "Tronçon d&#39;éclairage" in text
        assert "muet" in text


class TestEquipment:
    async def test_why(self, desk: Desk) -> None:
        """The page says in one sentence why the point is as it is, and shows its levels and points."""
        text = (await desk.visitor("viewer").get(HERE)).text
        assert re.search(r'class="sentence"[^>]*>(Nobody has wanted|Wanted at|At )', text)
        assert "traffic.flow" in text
        assert "Rue de la Liberté" in text

    async def test_taken_by_hand_and_given_back(self, desk: Desk) -> None:
        """An override comes from the form, shows who, why and until when, and goes by another form."""
        client = desk.visitor("operator")
        done = await desk.send(
            client, f"{HERE}/override", point="lights.level", value="40", for_s="1800", reason="marché <b>", confirmed="hold",
        )  # fmt: skip
        page = (await client.get(done.headers["location"])).text

        assert (done.status_code, done.headers["location"]) == (303, f"{HERE}?point=lights.level")
        assert "the operator operator wants it until" in page
        assert "marché &lt;b&gt;" in page
        assert re.search(r"<td>40 %</td>", page)
        other = await desk.visitor("viewer", language="fr").get(HERE)
        assert "l&#39;opérateur operator le veut jusqu&#39;à" in other.text
        back = await desk.send(client, f"{HERE}/release", point="lights.level")
        assert back.status_code == 303
        assert "the operator operator wants it" not in (await client.get(HERE)).text

    async def test_two_steps_without_scripts(self, desk: Desk) -> None:
        """Not held, an order is shown once more with its end and its reason, and given by the second page."""
        client = desk.visitor("operator")
        first = await desk.send(
            client, f"{HERE}/override", point="lights.level", value="30", for_s="900", reason="<i>x"
        )
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', first.text))
        assert first.status_code == 200
        assert "Take lights.level by hand, at 30 %?" in first.text
        assert "&lt;i&gt;x" in first.text
        assert "wants it" not in (await client.get(HERE)).text
        told = {k: html.unescape(v) for k, v in fields.items() if k not in ("csrf", "key", "next")}
        second = await desk.send(client, f"{HERE}/override", **told)
        page = (await client.get(HERE)).text
        await desk.send(client, f"{HERE}/release", point="lights.level")

        assert second.status_code == 303
        assert "the operator operator wants it" in page

    async def test_on_another_sight(self, desk: Desk) -> None:
        """What was decided on another sight than the present one is shown again, and not done."""
        client = desk.visitor("operator")
        answer = await desk.send(
            client, f"{HERE}/override", point="lights.level", value="30", for_s="900", reason="x",
            confirmed="hold", seen="10 plan snow 60 %",
        )  # fmt: skip
        assert answer.status_code == 409
        assert "It has changed since you looked" in answer.text
        assert "wants it until" not in (await client.get(HERE)).text

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"value": "40"}, "a reason"),
            ({"reason": "x"}, "a value"),
            ({"value": "fourty", "reason": "x"}, "Nothing was done"),
            ({"value": "4000", "reason": "x"}, "Nothing was done"),
            ({"value": "40", "reason": "x", "point": "nothing"}, "no point"),
        ],
    )
    async def test_refused(self, desk: Desk, fields: dict[str, str], said: str) -> None:
        """What cannot be done is said on the page, and nothing is done."""
        client = desk.visitor("operator")
        sent = {"point": "lights.level", "for_s": "1800", "confirmed": "hold", **fields}
        answer = await desk.send(client, f"{HERE}/override", **sent)
        page = await client.get(HERE)
        assert answer.status_code == 303
        assert said in page.text
        assert "Give back" not in page.text

    async def test_who_may_not(self, desk: Desk) -> None:
        """A viewer sees the form, its button refused; the order itself is refused too."""
        client = desk.visitor("viewer")
        assert 'aria-disabled="true"' in (await client.get(HERE)).text
        answer = await desk.send(
            client, f"{HERE}/override", point="lights.level", value="1", reason="x"
        )
        assert answer.status_code == 403

    async def test_time_travel(self, desk: Desk) -> None:
        """`?at=` shows a time gone by, says so, and offers no order."""
        client = desk.visitor("operator")
        await desk.send(
            client,
            f"{HERE}/override",
            point="lights.level",
            value="70",
            for_s="900",
            reason="now",
            confirmed="hold",
        )
        then = (await client.get(f"{HERE}?at=2020-01-01T00:00:00")).text
        now = (await client.get(HERE)).text
        await desk.send(client, f"{HERE}/release", point="lights.level")

        assert "As it was at" in then
        assert "Nobody has wanted anything of it yet" in then
        assert "/override" not in then
        assert "the operator operator wants it" in now
        wrong = (await client.get(f"{HERE}?at=tomorrow")).text
        assert "This is no time gone by" in wrong

    @pytest.mark.parametrize("path", ["/equipment/lamp/nobody", "/equipment/x/%3Cb%3E"])
    async def test_nobody(self, desk: Desk, path: str) -> None:
        """What does not exist is a page that says so."""
        answer = await desk.visitor("viewer").get(path)
        assert answer.status_code == 404
        assert "there is no equipment" in answer.text

    async def test_another_kind_in_the_address(self, desk: Desk) -> None:
        """An id is enough: the page is found under its own kind."""
        answer = await desk.visitor("viewer").get("/equipment/-/seg-1")
        assert (answer.status_code, answer.headers["location"]) == (303, HERE)


class TestRules:
    async def test_list(self, desk: Desk) -> None:
        """Each rule with its state, what it did, its cost and its tests."""
        text = (await desk.visitor("viewer").get("/rules")).text
        assert 'href="/rules/dim-quiet-streets"' in text
        assert "Full light while somebody walks there" in text

    async def test_as_written_with_truth(self, desk: Desk) -> None:
        """The rule's own lines, each clause with its truth, what it reads and what would turn it."""
        text = (await desk.visitor("viewer").get("/rules/light-up-for-pedestrians")).text
        assert '<span class="y-key">while</span>' in text
        assert 'class="clause unknown">segment.pedestrian_detected</span>' in text
        assert "a known value of segment.pedestrian_detected" in text
        assert "It does not act: a value that it needs is unknown." in text

    async def test_why_not(self, desk: Desk) -> None:
        """Of a street that is not in the set: which part of `where` keeps it out."""
        text = (await desk.visitor("viewer").get("/rules/dim-quiet-streets?target=seg-2")).text
        assert "not in the rule&#39;s set" in text
        assert "segment.dimmable" in text
        foreign = await desk.visitor("viewer").get("/rules/dim-quiet-streets?target=<b>")
        assert "nothing to do with this" in foreign.text
        assert "<b>" not in foreign.text

    async def test_no_such_rule(self, desk: Desk) -> None:
        """A rule that is not there is a page that says so."""
        answer = await desk.visitor("viewer").get("/rules/nothing")
        assert answer.status_code == 404

    async def test_check(self, desk: Desk) -> None:
        """A draft comes back with each mistake at its line; the text that was written stays in the box."""
        client = desk.visitor("viewer")
        draft = "rules:\n  mine:\n    title: X\n    owner: me\n    for_each: {s: {kind: lighting_segment}}\n    while: s.trafic.flow < 3\n    hold: [{set: s.lights.level, to: 30 %, priority: saving}]\n"  # fmt: skip
        answer = await desk.send(client, "/rules/check", text=draft)
        assert answer.status_code == 200
        assert "line 6, column" in answer.text
        assert "<mark>trafic</mark>" in answer.text
        assert "s.trafic.flow &lt; 3\n" in answer.text
        admin = await desk.send(desk.visitor("admin"), "/rules/check", text=draft)
        assert admin.status_code == 403

    def test_pieces(self) -> None:
        """A line is cut where its clauses are; nothing of it is lost, whatever its length."""
        text = api.RuleText(
            rule="a", sort="hold", file="a.yaml", first_line=3, text='  a: # "x"\n    while: b and c\n'
        )  # fmt: skip
        clause = {"column": 18, "length": 99, "met": "unmet", "flip": "x", "line": 4, "file": "a.yaml"}  # fmt: skip
        rows = lines_view(text, [clause])
        assert "".join(piece for piece, _ in rows[1]["pieces"]) == "  while: b and c"
        assert rows[1]["pieces"][-1] == ("c", "clause unmet")
        assert ('# "x"', "comment") in rows[0]["pieces"]


class TestRuleCosts:
    def test_spent(self) -> None:
        """Beside its steps stands what a rule took of the processor, and its p99; one that took nothing measurable has none."""
        words = Texts(ZoneInfo("Europe/Paris"))["fr"]
        found = [api.Rule(name=name) for name in ("costly", "cheap")]
        found.append(api.Rule(name="calm"))
        engine = api.Figures(
            at=0.0, rules_s={"costly": 12.34, "calm": 0.05}, rules_p99_s={"costly": 0.02}
        )
        rows = rules_view(found, {}, engine, 0.0, words)["rows"]
        assert [row["spent"] for row in rows] == ["12,3 s", "", "0,05 s"]
        assert [row["p99"] for row in rows] == ["20 ms", "", "< 10 ms"]


class TestHealth:
    async def test_page(self, desk: Desk) -> None:
        """Engine, journal, disk, connections and plugins; in French too."""
        text = (await desk.visitor("viewer", language="fr").get("/health")).text
        for said in ("Moteur", "Libre sur le disque", "Modules", "lighting", "chargé"):
            assert said in text
        commit = re.search(r"Écrit jusqu'au disque, p99</dt><dd>(.*?)</dd>", html.unescape(text))
        assert commit and re.fullmatch(r"≤ [\d,]+ ms", commit[1]), text

    def test_p99(self) -> None:
        """The bound below which 99 of 100 lie; beyond the last one nobody knows, and before the first value nothing is said."""
        words = Texts(ZoneInfo("Europe/Paris"))["en"]
        buckets = [api.Bucket(0.001, 980), api.Bucket(0.005, 990), api.Bucket(None, 1000)]
        assert p99(buckets) == 0.005
        assert milliseconds(words, p99(buckets)) == "≤ 5 ms"
        assert milliseconds(words, p99([api.Bucket(0.001, 980), api.Bucket(None, 1000)])) == (
            "beyond what is measured"
        )
        assert milliseconds(words, p99([api.Bucket(0.001, 0), api.Bucket(None, 0)])) == "–"

    def test_certificates(self) -> None:
        """The one that ends first comes first, and is marked within 30 days."""
        shown = [
            api.CertificateShown(file=f"{name}.pem", ends=1e9 + 86_400.0 * days)
            for name, days in (("far", 90), ("near", 20), ("over", -1))
        ]
        vitals = api.Vitals(
            wall=1e9, disk_free=1, disk_total=1, journal_bytes=1, audit_bytes=1, certificates=shown
        )
        found = certificates_view(vitals, Texts(ZoneInfo("Europe/Paris"))["en"])
        assert [(c["file"], c["left"], c["is_soon"]) for c in found] == [
            ("over.pem", "", True),
            ("near.pem", "20 d", True),
            ("far.pem", "90 d", False),
        ]


class TestMoments:
    def test_read(self) -> None:
        """A time of day is the last one; a date is the city's; what lies ahead or is none is nothing."""
        from zoneinfo import ZoneInfo

        paris, now = ZoneInfo("Europe/Paris"), 1_763_852_407.0  # 2025-11-23 00:00:07 in Paris
        assert read_moment("23:59:07", now, paris) == now - 60
        assert read_moment("00:00", now, paris) == now - 7
        assert read_moment("2025-11-22 12:00", now, paris) == now - 43_207
        assert read_moment(str(now - 5), now, paris) == now - 5
        for wrong in ("", "x", "25:00", "2099-01-01", "1e9", "٣:٠٠", "9" * 60):
            assert read_moment(wrong, now, paris) is None, wrong


class TestInterface:
    async def test_equipment(self, desk: Desk) -> None:
        """Programs get the same: lists, one piece, and why as data with its sentence."""
        client = desk.visitor("viewer", language="fr")
        found = (await client.get("/api/v1/equipment?q=seg-1")).json()
        assert [e["id"] for e in found["items"]] == ["seg-1"]
        detail = (await client.get("/api/v1/equipment/seg-1")).json()
        assert detail["kind"] == "lighting_segment"
        why = (await client.get("/api/v1/equipment/seg-1/why")).json()
        assert why["why"]["point"] == "seg-1.lights.level"
        assert re.search("veut|voulu", why["sentence"])
        past = await client.get(f"/api/v1/equipment/seg-1/why?at={time.time() - 3600}")
        assert past.json()["why"]["is_past"] is True
        assert (await client.get("/api/v1/equipment/seg-9")).status_code == 404
        assert "items" in (await client.get("/api/v1/equipment/seg-1/commands")).json()

    async def test_override(self, desk: Desk) -> None:
        """An order is answered once it is on disk; the end of it too."""
        client = desk.visitor("operator")
        headers = {"Origin": "http://127.0.0.1:8080", "Idempotency-Key": f"k{time.time()}"}
        order = {"point": "lights.level", "value": "55 %", "for_s": 600, "reason": "test"}
        taken = await client.post("/api/v1/equipment/seg-1/overrides", json=order, headers=headers)
        assert (taken.status_code, taken.json()["taken"]) == (202, True)
        why = (await client.get("/api/v1/equipment/seg-1/why")).json()["why"]
        assert (why["text"], why["who"]["name"]) == ("55 %", "operator")
        headers["Idempotency-Key"] += "b"
        gone = await client.delete(
            "/api/v1/equipment/seg-1/overrides/lights.level", headers=headers
        )
        assert gone.status_code == 200
        headers["Idempotency-Key"] += "c"
        again = await client.delete(
            "/api/v1/equipment/seg-1/overrides/lights.level", headers=headers
        )
        assert (again.status_code, again.json()["code"]) == (422, "refused")

    async def test_rules(self, desk: Desk) -> None:
        """Rules with figures, their text, why not, survey, instances, traces, and a draft that is checked."""
        client = desk.visitor("viewer")
        rules = (await client.get("/api/v1/rules")).json()["items"]
        assert {r["rule"]["name"] for r in rules} >= {"dim-quiet-streets"}
        root = "/api/v1/rules/dim-quiet-streets"
        assert (await client.get(root)).json()["sort"] == "hold"
        why = (await client.get(f"{root}/why?target=seg-2")).json()
        assert why["why"]["verdict"] == "absent"
        for part in ("survey", "instances", "traces"):
            assert (await client.get(f"{root}/{part}")).status_code == 200, part
        checked = await client.post(
            "/api/v1/rules/check",
            json={"text": "rules: {x: 1}"},
            headers={"Origin": "http://127.0.0.1:8080"},
        )
        assert (checked.status_code, checked.json()["ok"]) == (200, False)
        assert (await client.get("/api/v1/health")).json()["vitals"]["disk_total"] > 0


class TestPut:
    """A rule is put off by hand, from the page, the interface and the command line."""

    async def test_page(self, desk: Desk, engine_socket: Path) -> None:
        """An engineer holds the button, or confirms; the page says who, and on an older sight nothing is done."""
        client = desk.visitor("engineer", person="eve")
        with api.Client(engine_socket) as city:
            rule = city.ask(api.ListRules())[0]
            here = f"/rules/{rule.name}"
            fields = {"act": "disable", "reason": "wrong <i>side", "seen": rule.standing}
            first = await desk.send(client, f"{here}/mode", **fields)
            assert (first.status_code, "wrong &lt;i&gt;side" in first.text) == (200, True)
            assert city.ask(api.ListRules())[0].enabled
            done = await desk.send(client, f"{here}/mode", **fields, confirmed="hold")
            assert (done.status_code, done.headers["location"]) == (303, here)
            page = (await client.get(here)).text
            assert "By hand: off, by eve since" in page
            assert 'value="disable"' not in page
            assert "by hand" in (await client.get("/rules")).text
            assert not city.ask(api.ListRules())[0].enabled
            stale = await desk.send(client, f"{here}/mode", **fields, confirmed="hold")
            assert stale.status_code == 409
            back = {"act": "restore", "reason": "mended", "confirmed": "hold"}
            assert (await desk.send(client, f"{here}/mode", **back)).status_code == 303
            assert city.ask(api.ListRules())[0].hand is None

    async def test_interface(self, desk: Desk, engine_socket: Path) -> None:
        """The same over the interface, once per ETag; and the command line shows and gives back."""
        client = desk.visitor("engineer", person="eve")
        with api.Client(engine_socket) as city:
            name = city.ask(api.ListRules())[0].name
        path = f"/api/v1/rules/{name}"
        tag = (await client.get(path)).headers["etag"]
        for key, status in (("a", 200), ("b", 412)):
            headers = {"Origin": ORIGIN, "Idempotency-Key": f"put-{key}", "If-Match": tag}
            body = {"mode": "shadow", "reason": "first"}
            found = await client.post(f"{path}/mode", json=body, headers=headers)
            assert found.status_code == status
        assert (await client.get(path)).json()["hand"]["person"] == "eve"
        socket = ["--socket", str(engine_socket)]
        run = partial(subprocess.run, capture_output=True, text=True, check=True)
        shown = await asyncio.to_thread(run, [str(PILOTAGE), "rule", *socket])
        assert name in shown.stdout
        back = [str(PILOTAGE), "rule", name, "--restore", "--reason", "seen", *socket]
        await asyncio.to_thread(run, back)
        assert (await client.get(path)).json()["hand"] is None

    @pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
    async def test_who_may_not(self, desk: Desk, engine_socket: Path, role: str) -> None:
        """Only engineers; the others see the button with who can."""
        client = desk.visitor(role)
        with api.Client(engine_socket) as city:
            name = city.ask(api.ListRules())[0].name
        fields = {"act": "disable", "reason": "x", "confirmed": "hold"}
        assert (await desk.send(client, f"/rules/{name}/mode", **fields)).status_code == 403
        assert "Engineers may put rules" in (await client.get(f"/rules/{name}")).text
