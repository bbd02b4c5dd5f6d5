"""What alarms are called and say, in the reader's language."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from pilotage import api
from pilotage.model.sentences import DIFFERS, OF_ALARM, RESTARTED, SENTENCES, heard
from pilotage_web.alarm_words import (
    SENTENCES as SAID,
)
from pilotage_web.alarm_words import (
    TITLES,
    alarm_text,
    alarm_title,
    ending_text,
    id_in_words,
)
from pilotage_web.texts import Texts

TEXTS = Texts(ZoneInfo("Europe/Paris"))


def alarm(title: str, text: str, titles: dict[str, str] | None = None) -> api.Alarm:
    found = heard(title, text)
    if found is not None:
        return api.Alarm(
            id=f"{title}[x]",
            title=title,
            text=text,
            code=found.code,
            values=dict(found.values),
            restarted=found.restarted,
        )
    return api.Alarm(id=f"{title}[x]", title=title, text=text, titles=titles or {})


def test_all_of_the_engine() -> None:
    """Every alarm and every sentence of the engine has words here, and every place of a sentence a value."""
    assert set(OF_ALARM) <= set(TITLES)
    assert set(SAID) == set(SENTENCES)
    for code, sentence in SENTENCES.items():
        assert set(re.findall(r"%\((\w+)\)s", SAID[code])) <= set(
            re.findall(r"\{(\w+)\}", sentence.text)
        )


@pytest.mark.parametrize("code", [c for c in SENTENCES if c not in ("no-value", "fight", "pairs")])
def test_english(code: str) -> None:
    """In English the pages say what stands in the record; three are shorter here."""
    assert SAID[code] == re.sub(r"\{(\w+)\}", r"%(\1)s", SENTENCES[code].text)


def test_french() -> None:
    """Code and values become a sentence of the reader's language; what stands in the record stays English."""
    text = DIFFERS.say(point="l-1.level", value="80 %", times="3 times", says="unknown")
    found = alarm("not-following", RESTARTED + text)
    assert alarm_title(TEXTS["fr"], found) == "Ne suit pas"
    assert alarm_text(TEXTS["fr"], found) == (
        "le moteur a été redémarré\u00a0; l-1.level a reçu l'ordre 80\u00a0% 3 fois et indique inconnu"
    )
    assert alarm_text(TEXTS["en"], found) == RESTARTED + text
    assert ending_text(TEXTS["fr"], text) == (
        "l-1.level a reçu l'ordre 80\u00a0% 3 fois et indique inconnu"
    )
    assert ending_text(TEXTS["fr"], "the next order waits") == "the next order waits"


def test_ids() -> None:
    """In the journal an alarm of the engine's own is called by its name; one of the city by its id."""
    assert id_in_words(TEXTS["fr"], "not-following[l-1.level]") == "Ne suit pas · l-1.level"
    assert id_in_words(TEXTS["fr"], "loop") == "Règles en boucle"
    assert id_in_words(TEXTS["fr"], "dark[<b>]") == "dark[<b>]"


def test_of_the_city() -> None:
    """A city's alarm has the city's words; a text that is the title is not said twice."""
    titles = {"fr": "Rue sombre", "en": "Dark street"}
    found = alarm("dark", "Dark street", titles=titles)
    assert (alarm_title(TEXTS["fr"], found), alarm_text(TEXTS["fr"], found)) == ("Rue sombre", "")
    other = alarm("dark", "<b>Rue</b> %(x)s", titles=titles)
    assert alarm_text(TEXTS["fr"], other) == "<b>Rue</b> %(x)s"
