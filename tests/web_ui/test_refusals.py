"""Why the engine did not take an order, in the reader's language."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import pilotage
from pilotage_web.refusals import KNOWN, MENDS, mend_of, why_not
from pilotage_web.texts import Texts

TEXTS = Texts(ZoneInfo("Europe/Paris"))
ENGINE = Path(pilotage.__file__).parent
CODE = "\n".join(
    file.read_text(encoding="utf-8")
    for room in ("core", "runtime")
    for file in sorted((ENGINE / room).rglob("*.py"))
)
ELSEWHERE = ("is no value of", "has no level", "there is no equipment", "there is no rule")
"""What is put together there."""


@pytest.mark.parametrize("known", [k for k in KNOWN if not any(e in k for e in ELSEWHERE)])
def test_the_engine_says_it(known: str) -> None:
    """Each sentence that is known stands in the engine; one that is worded otherwise there would be shown in English."""
    pieces = [re.escape(piece) for piece in re.split(r"%\(\w+\)s|shelved|out of service$", known)]
    assert re.search(r"[^\n]*".join(pieces), CODE), known


@pytest.mark.parametrize("known", MENDS)
def test_the_engine_mends_it(known: str) -> None:
    """So does each mend; it is said in French."""
    assert known in CODE
    assert mend_of(TEXTS["fr"], known) != known == mend_of(TEXTS["en"], known)


def test_french() -> None:
    """Names and numbers stay, the sentence is the reader's."""
    said = why_not(
        TEXTS["fr"], "event is active, and at most one plan of the group may be: end it first"
    )
    assert said.startswith("event est actif, et un seul plan")
    assert (
        why_not(TEXTS["fr"], 'there is no plan "<b>%(x)s"')
        == "il n'y a pas de plan «\u00a0<b>%(x)s\u00a0»"
    )


@pytest.mark.parametrize("known", KNOWN)
def test_english(known: str) -> None:
    """In English it is what the engine said."""
    text = re.sub(r"%\(\w+\)s", "x1", known)
    assert why_not(TEXTS["en"], text) == text


def test_unknown() -> None:
    """What is not known is shown as it is."""
    assert why_not(TEXTS["fr"], "something 100 % new") == "something 100 % new"
