"""The sentence that says why: right about the winner and the runner-up, in both languages, over the city's own cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from pilotage import api
from pilotage.core.why import PointWhy, why_point
from pilotage.language.rules import load_or_refuse
from pilotage.runtime.plugins import load_plugins
from pilotage.testing.rules import Scenario, run_tests
from pilotage_web.saying import flip_in_words, sentence, value_in_words, verdict_in_words
from pilotage_web.texts import Texts

REPOSITORY = Path(__file__).parents[2]
TEXTS = Texts(ZoneInfo("Europe/Paris"))
FOLDERS = (
    REPOSITORY / "rules",
    REPOSITORY / "engine" / "pilotage" / "demo" / "city" / "rules",
    REPOSITORY / "plugins" / "pilotage_lighting" / "rules",
    REPOSITORY / "plugins" / "pilotage_security" / "rules",
)
WITHOUT = {"en": "Without that", "fr": "Sans cela"}


class Told(msgspec.Struct):
    """A point's why as it goes over the socket."""

    point: str
    is_commandable: bool
    is_decided: bool
    wanted: Any
    text: str
    level: int
    level_word: str
    who: api.Wanter
    since: float | None
    winner: api.Wanting | None
    demands: list[api.Wanting]
    otherwise: api.Otherwise | None
    way: api.Way | None


def asked(engine: Any, found: PointWhy) -> api.PointWhy:
    """Return what the engine would answer."""
    cell = engine.cells[found.point]
    told = msgspec.convert(found, Told, from_attributes=True)
    return api.PointWhy(
        **{name: getattr(told, name) for name in told.__struct_fields__},
        at=engine.now,
        unit=cell.spec.type.unit.symbol,
        value=None,
        value_text="unknown",
    )


class TestSentence:
    @pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: str(f.relative_to(REPOSITORY)))
    def test_over_the_citys_cases(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before "without that" stand the winner and what it wants, after it the runner-up and what it would want."""
        catalogue = load_plugins()
        program = load_or_refuse(
            {f.name: f.read_text() for f in sorted(folder.glob("*.yaml"))},
            *(catalogue.kinds, catalogue.functions, catalogue.calls),
        )
        wrong: list[str] = []
        sorts: set[str] = set()
        check = Scenario._check

        def look_and_check(scenario: Scenario, expectation: Any) -> None:
            for cell in scenario.engine.cells.values():
                if cell.array is not None and cell.array.is_decided:
                    found = why_point(scenario.engine, cell.id)
                    assert found is not None
                    why = asked(scenario.engine, found)
                    sorts.add(f"{why.who.sort}/{why.otherwise.who.sort if why.otherwise else ''}")
                    for language in ("en", "fr"):
                        wrong.extend(_wrong(why, language))
            check(scenario, expectation)

        monkeypatch.setattr(Scenario, "_check", look_and_check)
        results = run_tests(program)

        assert [r.name for r in results if r.findings] == []
        assert wrong == []
        assert "rule/default" in sorts

    def test_plan(self) -> None:
        """A plan says who set it, to which level, and since when; the same sentence in both languages."""
        why = api.PointWhy(
            point="lamp-1.level",
            at=1_763_852_500.0,
            is_commandable=True,
            is_decided=True,
            wanted=60.0,
            text="60 %",
            unit="%",
            level=10,
            who=api.Wanter(
                sort="plan",
                name="snow",
                level=2,
                titles={"fr": "Plan neige", "en": "Snow plan"},
                by="karim",
            ),
            since=1_763_852_407.0,
            otherwise=api.Otherwise(
                who=api.Wanter(sort="rule", name="dim", titles={"fr": "Nuit", "en": "Night"}),
                level=14,
                level_word="saving",
                value=30.0,
                text="30 %",
            ),
            way=api.Way(state="done", sent_at=1_763_852_407.0, confirmed_at=1_763_852_409.0),
        )
        assert sentence(TEXTS["en"], why) == (
            "At 60 %, confirmed, because the plan “Snow plan”, set to level 2 by karim, has wanted it since 00:00:07."
            " Without that: 30 % (rule “Night”)."
        )
        assert sentence(TEXTS["fr"], why) == (
            "À 60\u00a0%, confirmé, parce que le plan «\u00a0Plan neige\u00a0», mis au niveau 2 par karim, le veut depuis 00:00:07."
            " Sans cela\u00a0: 30\u00a0% (règle «\u00a0Nuit\u00a0»)."
        )

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("sent", "not confirmed yet"),
            ("failed", "does not follow (it reports 100 %)"),
            ("local", "changed at the equipment itself (it reports 100 %)"),
            ("unheard", "silent"),
            ("waiting", "waiting for its turn"),
            ("passed_on", "its members"),
        ],
    )
    def test_never_says_more_than_is_known(self, state: str, said: str) -> None:
        """What is wanted is only said to be so once the equipment has confirmed it."""
        why = api.PointWhy(
            *(),
            point="lamp-1.level",
            at=100.0,
            is_commandable=True,
            is_decided=True,
            wanted=60.0,
            text="60 %",
            unit="%",
            value=100.0,
            value_text="100 %",
            who=api.Wanter(sort="default"),
            way=api.Way(state=state, sent_at=90.0),
        )
        text = sentence(TEXTS["en"], why)
        assert text.startswith("Wanted at 60 %")
        assert said in text

    def test_nobody_and_reports(self) -> None:
        """A point that nobody wants anything of, and one that only reports."""
        nobody = api.PointWhy(
            point="l.level", at=1.0, is_commandable=True, who=api.Wanter(sort="default")
        )
        flow = api.PointWhy(
            point="s.flow", at=10.0, time=6.0, age_s=4.0, value=20.5, value_text="20.5 veh/h",
            unit="veh/h", quality="good", who=api.Wanter(sort="default"),
        )  # fmt: skip
        assert "left alone" in sentence(TEXTS["en"], nobody)
        assert sentence(TEXTS["fr"], flow) == "Il indique 20,5\u00a0veh/h, entendu il y a 4\u00a0s."


def _wrong(why: api.PointWhy, language: str) -> list[str]:
    """Return what a sentence does not say, or says on the wrong side."""
    words = TEXTS[language]
    text = sentence(words, why)
    first, mark, rest = text.partition(WITHOUT[language])
    missing: list[str] = []
    wanted = value_in_words(words, why.wanted, why.unit, why.text)
    name = words.name(why.who.titles) if why.who.titles else why.who.name
    missing += [part for part in (wanted, words.tie(name)) if part not in first]
    if (why.otherwise is None) is bool(mark):
        missing.append("otherwise")
    if why.otherwise is not None:
        other = why.otherwise
        value = value_in_words(words, other.value, why.unit, other.text)
        named = words.name(other.who.titles) if other.who.titles else other.who.name
        missing += [part for part in (value, words.tie(named)) if part not in rest]
    return [f"{text!r} lacks {part!r}" for part in missing]


class TestRuleWords:
    def test_flips(self) -> None:
        """What would turn a clause, in both languages."""
        flip = api.Flip(how="at_least", left="segment.flow", right="60 veh/h")
        assert flip_in_words(TEXTS["en"], flip) == "segment.flow at or above 60 veh/h"
        assert flip_in_words(TEXTS["fr"], flip) == "segment.flow à 60\u00a0veh/h ou plus"

    @pytest.mark.parametrize(
        "verdict",
        [
            "acts", "partly", "dominated", "kept", "held", "pending", "not_met", "unknown", "resting", "spent", "absent",
            "foreign", "off", "quarantine", "waits", "running",
        ],
    )  # fmt: skip
    def test_every_verdict_has_its_words(self, verdict: str) -> None:
        """Each verdict is a sentence of its own, and another one in French."""
        why = api.RuleWhy(rule="dim", at=100.0, verdict=verdict, instance="s1", due=200.0)
        said = [verdict_in_words(TEXTS[language], why) for language in ("en", "fr")]
        assert said[0] != said[1]
        assert all(text.endswith(".") or ":" in text for text in said)

    def test_who_stands_above(self) -> None:
        """A rule that is dominated says by whom, at which level, and until when."""
        why = api.RuleWhy(
            rule="dim",
            at=1_763_852_500.0,
            verdict="dominated",
            effects=[
                api.RuleEffect(
                    point="s.level",
                    result="next",
                    decider=api.Wanter(sort="person", name="nadia"),
                    decided_level=8,
                    until=1_763_852_600.0,
                )
            ],
        )
        assert verdict_in_words(TEXTS["fr"], why) == (
            "Sa condition est vraie, mais une demande plus haute décide\u00a0: opérateur nadia (niveau 8), jusqu'à 00:03:20."
        )
