"""What Now shows: plans that are on, what ends soon, alarms in groups, the most urgent first; and how colours differ."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from tests.web_ui.conftest import Desk

import pilotage_web
from pilotage import api
from pilotage.model.looks import Look
from pilotage_web.live.places import pack_places
from pilotage_web.pages.live import MEANINGS
from pilotage_web.pages.now import extent, view
from pilotage_web.site import Site


def alarm(id_: str, severity: str = "high", state: str = "raised", since: float = 0.0) -> api.Alarm:
    return api.Alarm(
        id=id_, title=id_.partition("[")[0], severity=severity, state=state, since=since
    )


class TestView:
    def test_what_is_on(self) -> None:
        """Plans that are on are shown, those that end within half an hour once more, soonest first."""
        plans = [
            api.Plan(name="off"),
            api.Plan(name="late", level=1, until=5_000.0),
            api.Plan(name="soon", level=1, until=1_700.0),
            api.Plan(name="sooner", level=2, until=200.0),
            api.Plan(name="open", level=1),
        ]
        shown = view(plans, [], [], now=100.0)
        assert [p.name for p in shown["plans"]] == ["late", "soon", "sooner", "open"]
        assert [p.name for p in shown["ending"]] == ["sooner", "soon"]

    def test_what_people_hold(self) -> None:
        """Overrides that end within half an hour are shown, soonest first; all are counted."""
        held = [
            api.OverrideShown(
                point=f"{name}.level",
                entity=name,
                name=name,
                value="30 %",
                person="Ada",
                reason="works",
                since=0.0,
                until=until,
            )
            for name, until in (("late", 9_000.0), ("soon", 900.0), ("sooner", 200.0))
        ]
        shown = view([], [], held, now=100.0)
        assert [h.point for h in shown["ending_holds"]] == ["sooner.level", "soon.level"]
        assert shown["held"] == 3

    def test_who_waits(self) -> None:
        """Only what nobody has seen yet waits; the most urgent comes first, then the oldest."""
        alarms = [
            alarm("low[a]", "low", since=1.0),
            alarm("seen[a]", state="acknowledged"),
            alarm("shelved[a]", state="shelved"),
            alarm("gone[a]", "critical", state="cleared", since=9.0),
            alarm("old[a]", "critical", since=5.0),
        ]
        shown = view([], alarms, [], now=10.0)
        assert [line["alarm"].title for line in shown["groups"]] == ["old", "gone", "low"]
        assert shown["waiting"] == 3
        assert shown["by_priority"] == [(1, 2), (2, 0), (3, 0), (4, 1)]

    def test_groups(self) -> None:
        """Two hundred lamps of one alarm are one line, with the time of the first; under their cabinet's where that is the cause."""
        alarms = [alarm(f"lamp-off[L-{n}]", since=float(n)) for n in range(1, 201)]
        (line,) = view([], alarms, [], now=300.0)["groups"]
        assert (line["count"], line["since"], line["about"]) == (200, 1.0, "")
        caused = [msgspec.structs.replace(each, cause="dead[CAB-1]") for each in alarms]
        (line,) = view([], [*caused, alarm("dead[CAB-1]", since=9.0)], [], now=300.0)["groups"]
        assert (line["count"], line["id"], line["about"]) == (201, "dead[CAB-1]", "CAB-1")


class TestExtent:
    def test_around_the_equipment(self) -> None:
        """The map opens on what there is."""
        places = pack_places(
            "e",
            [
                api.Place(0, "a", "lamp", latitude=47.0, longitude=5.0),
                api.Place(1, "b", "lamp", latitude=47.5, longitude=5.2),
            ],
        )
        assert extent(places, None) == (47.0, 5.0, 47.5, 5.2)

    def test_around_the_site(self) -> None:
        """Without equipment that has a place it opens on the site."""
        assert extent(None, (48.0, 2.0)) == pytest.approx((47.97, 1.97, 48.03, 2.03))


# ── colours ──────────────────────────────────────────────────────────────────────────────────

STYLE = Path(pilotage_web.__file__).parent / "static" / "css" / "30-live.css"

# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009, severity 1.0.
VISION = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "all": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}  # fmt: skip


def linear(colour: str) -> list[float]:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(rgb: list[float]) -> tuple[float, float, float]:
    """CIE 1976 L*a*b* of linear sRGB, white D65."""
    matrix = (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.072175),
        (0.0193339, 0.119192, 0.9503041),
    )
    white = (0.95047, 1.0, 1.08883)
    x, y, z = (
        sum(a * b for a, b in zip(row, rgb, strict=True)) / w
        for row, w in zip(matrix, white, strict=True)
    )
    fx, fy, fz = (
        v ** (1 / 3) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z)
    )
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def seen(colour: str, kind: str) -> tuple[float, float, float]:
    rgb = linear(colour)
    return lab(
        [
            max(0.0, min(1.0, sum(a * b for a, b in zip(row, rgb, strict=True))))
            for row in VISION[kind]
        ]
    )


def palette(theme: str) -> dict[str, str]:
    dark, light = STYLE.read_text().split('[data-theme="light"]')
    text = dark if theme == "dark" else light.split("}")[0]
    return dict(re.findall(r"--(look-\d): (#[0-9a-f]{6})", text))


def distance(one: str, other: str, kind: str) -> float:
    return math.dist(seen(one, kind), seen(other, kind))


class TestColours:
    @pytest.mark.parametrize("kind", VISION)
    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_same_shape(self, theme: str, kind: str) -> None:
        """Two looks of one shape differ by 20 and more (CIE 1976), whatever colours an eye can tell apart."""
        colours = palette(theme)
        for one, other in combinations(Look, 2):
            if one.shape == other.shape:
                found = distance(colours[f"look-{one}"], colours[f"look-{other}"], kind)
                assert found >= 20, f"{one.word} and {other.word}: {found:.0f}"

    @pytest.mark.parametrize("theme", ["dark", "light"])
    def test_on_the_ground(self, theme: str) -> None:
        """What is not normal stands out from the map's ground for every eye."""
        ground = {"dark": "#101316", "light": "#dcdfe3"}[theme]
        colours = palette(theme)
        for look in list(Look)[2:]:
            for kind in VISION:
                assert distance(colours[f"look-{look}"], ground, kind) >= 30, (look.word, kind)

    def test_few_fills(self) -> None:
        """At most five shapes are filled without an outline: more colours nobody can keep apart."""
        assert sum(look.shape in ("dot", "diamond", "triangle") for look in Look) <= 5

    def test_meanings(self) -> None:
        """The pages say of each look what the model says."""
        assert {look: look.meaning for look in Look} == MEANINGS


async def test_the_map_has_the_ground_that_the_site_names(site: Site, tmp_path: Path) -> None:
    """The city's own GeoJSON, for who may see it; nothing, and no error, where it names none."""
    ground = tmp_path / "ground.geojson"
    ground.write_text('{"type": "FeatureCollection", "features": []}')
    for named, wanted in ((str(ground), json.loads(ground.read_text())), ("", None)):
        desk = Desk(msgspec.structs.replace(site, map=named))
        async with desk.app.router.lifespan_context(desk.app):
            answer = await desk.visitor("viewer").get("/live/base")
            assert (answer.status_code, answer.json()) == (200, wanted)
            assert (await desk.visitor().get("/live/base")).status_code == 401
            await desk.close()
