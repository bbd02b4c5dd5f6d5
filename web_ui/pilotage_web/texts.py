"""What people read: one template environment per language, its catalogue, and how numbers and times are said.

English is the message id. A catalogue is a folder of `.po` files, one per area, read at the start.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import babel.dates
import babel.numbers
import jinja2
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from pilotage_web.numbers import number_of

LANGUAGES: Final = ("en", "fr")
LANGUAGE_NAMES: Final = {"en": "English", "fr": "Français"}

_HERE: Final = Path(__file__).parent
LOCALE: Final = _HERE / "locale"
TEMPLATES: Final = _HERE / "templates"

_UNITS: Final = {
    "en": ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")),
    "fr": ((86_400.0, "j"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")),
}


_Said = str | list[str] | tuple[str, ...]
_LOOSE: Final = re.compile(
    r"(?<=«) | (?=[:;!?»]|%(?!\())"
    r"|(?<=\)s) (?=(?:ms|s|min|h)(?![\w'’]))"
    r"|(?<=\d) (?=(?:ms|s|min|h|j|lx|lm|W|kW|kWh|V|A|K|°C|m|km|mm|cm|km/h|veh/h|[kMG]?[oB])(?![\w'’/]))"
)
"""A space at which French does not break a line."""


def tied(text: str) -> str:
    """Return French with the spaces that do not break: before `: ; ! ? » %`, after `«`, between a number and its unit."""
    return _LOOSE.sub("\N{NO-BREAK SPACE}", text)


def mark(text: str) -> str:
    """Return a text as it is: it is taken into the catalogues, and translated where it is shown."""
    return text


class Words:
    """One language: its texts, its numbers and times, its template environment."""

    def __init__(
        self,
        language: str,
        zone: ZoneInfo,
        translations: NullTranslations | Translations,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Set a language up; nothing of it changes afterwards. `now` is the city's time."""
        self.language = language
        self.zone = zone
        self._now = now
        self._translations = translations
        # One environment per language: `env.overlay` would share the extension and lose its functions.
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        install: Callable[..., None] = self.environment.install_gettext_translations  # type: ignore[attr-defined]
        install(translations, newstyle=True)
        self.environment.filters.update(
            number=self.number,
            clock=self.clock,
            moment=self.moment,
            day=self.day,
            words=self.words,
            tie=self.tie,
            quoted=self.quoted,
            name=self.name,
            incident_number=number_of,
        )

    def say(self, text: str, **values: Any) -> str:
        """Return a text in this language; `%(name)s` in it stands for a value."""
        said = self._translations.gettext(text)
        return self.tie(said % values) if values else said

    def tie(self, text: str) -> str:
        """Return a text with the spaces that do not break in this language."""
        return tied(text) if self.language == "fr" else text

    def quoted(self, text: str) -> str:
        """Return what somebody wrote between the quotation marks of this language."""
        return tied(f"« {text} »") if self.language == "fr" else f"“{text}”"

    def number(self, value: float | int | None, digits: int = 2) -> str:
        """Return a number with at most so many decimals; a dash when there is none."""
        if value is None:
            return "–"
        pattern = "#,##0." + "#" * digits if digits else "#,##0"
        return babel.numbers.format_decimal(value, pattern, locale=self.language)

    def clock(self, time: float | None) -> str:
        """Return the time of day with its seconds; `time` is in seconds since 1970."""
        return "–" if time is None else f"{self._local(time):%H:%M:%S}"

    def moment(self, time: float | None, now: float | None = None) -> str:
        """Return the time of day, with the date when that is not the day of `now` (the city's by default)."""
        if time is None:
            return "–"
        today = self._local(self._now() if now is None else now)
        if self._local(time).date() == today.date():
            return self.clock(time)
        return f"{self.day(time)} {self.clock(time)}"

    def day(self, time: float) -> str:
        """Return the date, with the year."""
        return babel.dates.format_date(self._local(time).date(), "d MMM y", locale=self.language)

    def words(self, seconds: float | None) -> str:
        """Return a duration in its two largest units: `2 h 5 min`, `40 s`."""
        if seconds is None:
            return "–"
        rest, parts = max(0.0, float(round(seconds))), list[str]()
        for step, unit in _UNITS[self.language]:
            count, rest = divmod(rest, step)
            if count:
                parts.append(f"{count:.0f} {unit}")
            elif parts:
                break
        return self.tie(" ".join(parts[:2]) or "0 s")

    def name(self, value: str | Mapping[str, str]) -> str:
        """Return a name that a city's YAML gives, once for all or by language; French where this language is missing."""
        if isinstance(value, str):
            return value
        return value.get(self.language) or value.get("fr") or next(iter(value.values()), "")

    def _local(self, time: float) -> datetime:
        return datetime.fromtimestamp(time, self.zone)


class Texts:
    """Every language."""

    def __init__(
        self, zone: ZoneInfo, default: str = "en", now: Callable[[], float] = time.time
    ) -> None:
        """Read the catalogues; `now` is the city's time, which in a demonstration is another than ours."""
        self.default = default if default in LANGUAGES else LANGUAGES[0]
        self._words = {
            language: Words(language, zone, _read(language), now) for language in LANGUAGES
        }

    def __getitem__(self, language: str) -> Words:
        """Return a language, the site's own when it is not there."""
        return self._words.get(language) or self._words[self.default]


def catalogue(language: str) -> Catalog:
    """Return everything that is translated into a language: all areas in one."""
    whole = Catalog(locale=language)
    for file in sorted((LOCALE / language).glob("*.po")):
        with file.open("rb") as stream:
            area = read_po(stream, locale=language, abort_invalid=True)
        for message in area:
            if message.id and message.string and not message.fuzzy:
                whole.add(message.id, _set(message.string, language), context=message.context)
    return whole


def _set(said: _Said, language: str) -> _Said:
    """Return a translation as it is set in its language, in all its numbers."""
    if language != "fr":
        return said
    return tied(said) if isinstance(said, str) else tuple(map(tied, said))


def _read(language: str) -> NullTranslations | Translations:
    if language == "en":
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Translations(compiled)
