"""What people read: every message in every language, and how numbers and times are said."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir

import pilotage_web
from pilotage import api
from pilotage_web.live.hub import Hub
from pilotage_web.texts import LANGUAGES, LOCALE, Texts, catalogue, tied

PACKAGE = Path(pilotage_web.__file__).parent
NEWSTYLE = {"newstyle_gettext": "true", "trimmed": "false"}
PARIS = ZoneInfo("Europe/Paris")


def messages() -> Iterator[tuple[str, Any]]:
    """Every message of the package with where it stands."""
    found = extract_from_dir(
        PACKAGE,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")],
        options_map={"templates/**.html": NEWSTYLE},
        keywords={"say": None, "mark": None, "_": None, "gettext": None, "ngettext": (1, 2)},
    )
    for file, line, message, _, _ in found:
        yield f"{file}:{line}", message


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)", text))


class TestCatalogues:
    @pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
    def test_no_message_is_missing(self, language: str) -> None:
        """Everything that a page can say is translated."""
        known = catalogue(language)
        missing = [f"{place}: {text!r}" for place, text in messages() if known.get(text) is None]
        assert not missing, "\n".join(missing)

    @pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
    def test_same_placeholders(self, language: str) -> None:
        """A translation names the values that its message names: another would fail when it is shown."""
        for message in catalogue(language):
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            texts = message.string if isinstance(message.string, tuple) else (message.string,)
            for text in texts:
                assert placeholders(str(text)) <= placeholders(" ".join(map(str, ids))), message.id

    def test_nothing_is_said_twice_differently(self) -> None:
        """Two areas that translate the same message translate it alike."""
        seen: dict[Any, Any] = {}
        from babel.messages.pofile import read_po

        for file in sorted((LOCALE / "fr").glob("*.po")):
            with file.open("rb") as stream:
                for message in read_po(stream, locale="fr"):
                    if message.id:
                        assert seen.setdefault(message.id, message.string) == message.string, file

    def test_messages_are_literals(self) -> None:
        """What is built at run time would be in no catalogue."""
        for file in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "mark":
                    assert isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}"


class TestFrenchSpaces:
    @pytest.mark.parametrize(
        ("loose", "set_"),
        [
            ("« Plan neige » : fini ?", "«_Plan neige_»_: fini_?"),
            ("12 % en 40 s ; 2 h 5 min !", "12_% en 40_s_; 2_h 5_min_!"),
            ("%(count)s min, %(name)s s'est tu", "%(count)s_min, %(name)s s'est tu"),
            ("500 lx à 3 km/h", "500_lx à 3_km/h"),
            ("3 signaux, 2 mois, 12:30, a:b", "3 signaux, 2 mois, 12:30, a:b"),
        ],
    )
    def test_set(self, loose: str, set_: str) -> None:
        """No line begins with `: ; ! ? » %` or a unit."""
        assert tied(loose) == set_.replace("_", "\u00a0")

    def test_everywhere(self) -> None:
        """What the catalogue says, values that come into it, durations and what people wrote; English stays as it is."""
        french, english = Texts(PARIS)["fr"], Texts(PARIS)["en"]
        assert french.words(7_500) == "2\u00a0h 5\u00a0min"
        assert french.say("At %(wanted)s, confirmed", wanted="60 %") == "À 60\u00a0%, confirmé"
        assert (french.quoted("verglas"), english.quoted("ice")) == (
            "«\u00a0verglas\u00a0»",
            "“ice”",
        )
        assert english.words(7_500) == "2 h 5 min"
        sentences = [str(message.string) for message in catalogue("fr")]
        assert not [said for said in sentences if said != tied(said)]
        assert any("\u00a0:" in said for said in sentences)


class TestWords:
    def test_durations(self) -> None:
        """Two units at the most, in the reader's language."""
        texts = Texts(PARIS)
        assert [texts["en"].words(s) for s in (0, 40, 125, 7_500, 93_600, None)] == [
            *("0 s", "40 s", "2 min 5 s", "2 h 5 min", "1 d 2 h", "–")
        ]
        assert texts["fr"].words(93_600).replace("\u00a0", " ") == "1 j 2 h"

    def test_times_have_seconds(self) -> None:
        """On the clock of the city, with the date when it is not today."""
        words = Texts(PARIS)["fr"]
        at = 1_763_852_407.0  # 2025-11-22 23:00:07 UTC, past midnight in Dijon
        assert words.clock(at) == "00:00:07"
        assert words.moment(at, at + 60) == "00:00:07"
        assert words.moment(at, at + 86_400) == "23 nov. 2025 00:00:07"

    def test_today_is_the_city_s(self) -> None:
        """Today is the day of the city's clock, which in a demonstration is another than ours."""
        at = 1_763_852_407.0
        assert Texts(PARIS, now=lambda: at + 60)["fr"].moment(at) == "00:00:07"
        hub = Hub(Path("no.sock"))
        hub._take(api.Beat(at, 0, None, None))
        assert hub.city_now == at
        hub._take(api.Beat(time.time() - 2.0, 0, None, None))
        assert abs(hub.city_now - time.time()) < 1.0

    def test_numbers(self) -> None:
        """As the language writes them."""
        texts = Texts(PARIS)
        assert texts["en"].number(34_000) == "34,000"
        assert texts["fr"].number(34_000.5).replace("\u202f", " ") == "34 000,5"
        assert texts["en"].number(None) == "–"

    def test_names_of_the_city(self) -> None:
        """A name in YAML is in one language or in both; French stands in."""
        texts = Texts(PARIS)
        both = {"fr": "Plan neige", "en": "Snow plan"}
        assert (texts["en"].name(both), texts["fr"].name(both)) == ("Snow plan", "Plan neige")
        assert texts["en"].name({"fr": "Plan neige"}) == "Plan neige"
        assert texts["en"].name("snow") == "snow"

    def test_unknown_language(self) -> None:
        """Who prefers a language that is not there reads the site's."""
        assert Texts(PARIS, "fr")["de"].language == "fr"
