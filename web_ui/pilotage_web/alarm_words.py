"""What alarms are called and what they say, in the reader's language.

A city names its own alarms. Those that the engine raises of its own accord come as a code and values, and are said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Protocol

from pilotage.model.sentences import heard
from pilotage_web.saying import reason_in_words
from pilotage_web.texts import Words, mark

TITLES: Final[Mapping[str, str]] = {
    "not-following": mark("Does not follow"),
    "fighting": mark("Wanted differently in turn"),
    "unanswered": mark("Call without an answer"),
    "conflict": mark("Conflict between rules"),
    "plan-blocked": mark("Plan held up by another"),
    "plan-proposal": mark("Proposed plan without an answer"),
    "plan-review": mark("Plan to be looked at again"),
    "plan-step": mark("Plan refused to a rule"),
    "checklist": mark("Step overdue"),
    "loop": mark("Rules in a circle"),
    "too-many-instances": mark("Too many pairs of equipment"),
    "interrupted": mark("Interrupted by a restart"),
    "quarantine": mark("Rule in quarantine"),
    "break-glass": mark("Glass broken"),
}
SENTENCES: Final[Mapping[str, str]] = {
    "no-value": mark("%(point)s was not told %(value)s: it cannot take that value"),
    "too-often": mark("%(point)s was not told: %(rate)s are allowed"),
    "not-told": mark("%(point)s could not be told %(value)s"),
    "not-told-why": mark("%(point)s could not be told %(value)s: %(why)s"),
    "refused": mark("%(point)s was told %(value)s and refused: %(why)s"),
    "refused-says": mark("%(point)s was told %(value)s and refused: it says %(says)s"),
    "differs": mark("%(point)s was told %(value)s %(times)s and says %(says)s"),
    "unknown": mark(
        "nobody knows whether %(point)s does what it was told (%(value)s, %(times)s): %(why)s; read it back, or go and look"
    ),
    "unknown-says": mark(
        "nobody knows whether %(point)s does what it was told (%(value)s, %(times)s): it says %(says)s; read it back, or go and look"
    ),
    "not-told-now": mark("%(point)s was not told, and is not told now"),
    "unanswered": mark(
        "nobody knows whether %(call)s (%(id)s) was carried out: %(why)s; ask there"
    ),
    "conflict": mark("%(who)s want %(point)s differently at level %(level)s"),
    "fight": mark(
        "%(who)s want %(point)s differently in turn, more than %(count)s times in %(seconds)s s; let one have the better priority"
    ),
    "circle": mark("rules drive each other in a circle; the last decision stands"),
    "over-and-over": mark("%(rule)s starts itself over and over; this run was left out"),
    "branches": mark("%(rule)s has %(count)s branches under way; this one was left out"),
    "incidents": mark(
        "%(rule)s has %(count)s open incidents; it opens no more, and joins the last"
    ),
    "pairs": mark("%(count)s pairs of equipment are at work; more of (%(kinds)s) are left out"),
    "interrupted": mark("%(run)s was interrupted by a restart of the engine, and given up"),
    "quarantine": mark("%(rule)s is in quarantine and decides nothing: %(why)s"),
    "blocked": mark("%(plan)s waits for %(other)s to end"),
    "proposal": mark("level %(level)s of %(plan)s was not answered"),
    "review": mark("%(plan)s has been at level %(level)s for a while: is that still right?"),
    "overdue": mark("overdue: %(step)s"),
    "glass": mark("somebody at %(post)s acts for every post until %(until)s"),
}
_ONCE: Final = mark("once")
_TIMES: Final = mark("%(count)s times")
_RESTARTED: Final = mark("the engine was restarted; %(said)s")
_UNKNOWN: Final = mark("unknown")
_NOTHING: Final = mark("nothing")
_COUNTED: Final = re.compile(r"(\d+) times", re.ASCII)


class Named(Protocol):
    """What has a name and, of the city, titles."""

    @property
    def title(self) -> str:
        """The name of its declaration."""
        ...

    @property
    def titles(self) -> Mapping[str, str]:
        """Its title per language."""
        ...


class Saying(Named, Protocol):
    """An alarm, as far as it says something."""

    @property
    def text(self) -> str:
        """What it says, as it stands in the record."""
        ...

    @property
    def code(self) -> str:
        """The same as a code, of the engine's own."""
        ...

    @property
    def values(self) -> Mapping[str, str]:
        """The parameters of the code."""
        ...

    @property
    def restarted(self) -> bool:
        """Whether it is about what a restart interrupted."""
        ...


def alarm_title(words: Words, alarm: Named) -> str:
    """Return what an alarm is called."""
    if alarm.titles:
        return words.name(alarm.titles)
    return own_title(words, alarm.title)


def own_title(words: Words, name: str) -> str:
    """Return what an alarm of the engine's own is called; a name of the city stays."""
    return words.say(TITLES[name]) if name in TITLES else name


def id_in_words(words: Words, alarm: str) -> str:
    """Return an alarm's id as a line of the journal shows it: `Does not follow · L-1.level`."""
    name, _, instance = alarm.partition("[")
    if name not in TITLES:
        return alarm
    return " · ".join(filter(None, (own_title(words, name), instance.removesuffix("]"))))


def alarm_text(words: Words, alarm: Saying) -> str:
    """Return what an alarm says; nothing when that is only its title."""
    if alarm.code not in SENTENCES:
        return "" if alarm.text in alarm.titles.values() else alarm.text
    return _said(words, alarm.code, alarm.values, restarted=alarm.restarted)


def ending_text(words: Words, text: str) -> str:
    """Return what the record says of the bad end of an order, which is what its alarm says."""
    found = heard("not-following", text)
    if found is None:
        return text
    return _said(words, found.code, found.values, restarted=found.restarted)


def _said(words: Words, code: str, values: Mapping[str, str], *, restarted: bool) -> str:
    shown = {name: _value(words, name, value) for name, value in values.items()}
    said = words.say(SENTENCES[code], **shown)
    return words.say(_RESTARTED, said=said) if restarted else said


def _value(words: Words, name: str, value: str) -> str:
    if name == "times":
        counted = _COUNTED.fullmatch(value)
        return words.say(_TIMES, count=counted[1]) if counted else words.say(_ONCE)
    if value == "unknown":
        return words.say(_UNKNOWN)
    if name == "why":
        return reason_in_words(words, value)
    return words.say(_NOTHING) if value == "nothing" else value
