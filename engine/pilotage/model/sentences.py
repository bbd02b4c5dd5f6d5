"""What the engine says of its own accord in its alarms: sentences with a code, and their parameters.

The record holds the sentence itself, in English, so that a journal can be read with no program at all. Whoever shows it in another
language gets code and parameters back by `heard`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Final

RESTARTED: Final = "the engine was restarted; "
"""Stands before a sentence about something that was under way when the engine ended."""
_SHAPES: Final[Mapping[str, str]] = {"times": r"once|\d+ times"}
"""What a parameter looks like that follows another one with nothing but a space between."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with places for its parameters: `{point} was told {value}`."""

    code: str
    text: str
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make what finds the parameters in what was said."""
        parts = [
            re.escape(fixed) + (f"(?P<{name}>{_SHAPES.get(name, '.*?')})" if name else "")
            for fixed, name, _, _ in Formatter().parse(self.text)
        ]
        object.__setattr__(self, "_pattern", re.compile("".join(parts), re.DOTALL))

    def say(self, **values: object) -> str:
        """Return the sentence with its parameters."""
        return self.text.format(**values)

    def values_in(self, said: str) -> dict[str, str] | None:
        """Return the parameters of what was said, None when it is another sentence."""
        found = self._pattern.fullmatch(said)
        return None if found is None else found.groupdict()


# ── equipment that does not follow ───────────────────────────────────────────────────────────

NO_VALUE: Final = Sentence(
    "no-value", "{point} was not told {value}: that is no value which {type} can be there"
)
TOO_OFTEN: Final = Sentence("too-often", "{point} was not told: {rate} are allowed")
NOT_TOLD: Final = Sentence("not-told", "{point} could not be told {value}")
NOT_TOLD_WHY: Final = Sentence("not-told-why", "{point} could not be told {value}: {why}")
REFUSED: Final = Sentence("refused", "{point} was told {value} and refused: {why}")
REFUSED_SAYS: Final = Sentence(
    "refused-says", "{point} was told {value} and refused: it says {says}"
)
DIFFERS: Final = Sentence("differs", "{point} was told {value} {times} and says {says}")
UNKNOWN: Final = Sentence(
    "unknown",
    "nobody knows whether {point} does what it was told ({value}, {times}): {why}; read it back, or go and look",
)
UNKNOWN_SAYS: Final = Sentence(
    "unknown-says",
    "nobody knows whether {point} does what it was told ({value}, {times}): it says {says}; read it back, or go and look",
)
NOT_TOLD_NOW: Final = Sentence("not-told-now", "{point} was not told, and is not told now")
UNANSWERED: Final = Sentence(
    "unanswered", "nobody knows whether {call} ({id}) was carried out: {why}; ask there"
)

# ── rules and plans ──────────────────────────────────────────────────────────────────────────

CONFLICT: Final = Sentence("conflict", "{who} want {point} differently at level {level}")
FIGHT: Final = Sentence(
    "fight",
    "{who} want {point} differently in turn, more than {count} times in {seconds} s"
    " (mend: let one have the better priority, or let neither read what the other sets)",
)
CIRCLE: Final = Sentence("circle", "rules drive each other in a circle; the last decision stands")
OVER_AND_OVER: Final = Sentence(
    "over-and-over", "{rule} starts itself over and over; this run was left out"
)
BRANCHES: Final = Sentence(
    "branches", "{rule} has {count} branches under way; this one was left out"
)
INCIDENTS: Final = Sentence(
    "incidents", "{rule} has {count} open incidents; it opens no more, and joins the last"
)
PAIRS: Final = Sentence(
    "pairs", "{count} pairs of `for_each` are at work; more of ({kinds}) are left out"
)
INTERRUPTED: Final = Sentence(
    "interrupted", "{run} was interrupted by a restart of the engine, and given up"
)
QUARANTINE: Final = Sentence("quarantine", "{rule} is in quarantine and decides nothing: {why}")
BLOCKED: Final = Sentence("blocked", "{plan} waits for {other} to end")
PROPOSAL: Final = Sentence("proposal", "level {level} of {plan} was not answered")
REVIEW: Final = Sentence(
    "review", "{plan} has been at level {level} for a while: is that still right?"
)
OVERDUE: Final = Sentence("overdue", "overdue: {step}")
GLASS: Final = Sentence("glass", "somebody at {post} acts for every post until {until}")

SENTENCES: Final[Mapping[str, Sentence]] = {
    sentence.code: sentence
    for sentence in (
        # What says more comes before what says less.
        *(NO_VALUE, TOO_OFTEN, NOT_TOLD_WHY, NOT_TOLD, REFUSED_SAYS, REFUSED, DIFFERS),
        *(UNKNOWN_SAYS, UNKNOWN, NOT_TOLD_NOW, UNANSWERED, CONFLICT, FIGHT, CIRCLE),
        *(OVER_AND_OVER, BRANCHES, INCIDENTS, PAIRS, INTERRUPTED, QUARANTINE),
        *(BLOCKED, PROPOSAL, REVIEW, OVERDUE, GLASS),
    )
}

OF_ALARM: Final[Mapping[str, tuple[Sentence, ...]]] = {
    "not-following": (
        *(NO_VALUE, TOO_OFTEN, NOT_TOLD_WHY, NOT_TOLD, REFUSED_SAYS, REFUSED, DIFFERS),
        *(UNKNOWN_SAYS, UNKNOWN, NOT_TOLD_NOW),
    ),
    "unanswered": (UNANSWERED,),
    "conflict": (CONFLICT,),
    "fighting": (FIGHT,),
    "loop": (CIRCLE, OVER_AND_OVER, BRANCHES, INCIDENTS),
    "too-many-instances": (PAIRS,),
    "interrupted": (INTERRUPTED,),
    "quarantine": (QUARANTINE,),
    "plan-blocked": (BLOCKED,),
    "plan-proposal": (PROPOSAL,),
    "plan-review": (REVIEW,),
    "checklist": (OVERDUE,),
    "break-glass": (GLASS,),
}
"""What each of the engine's own alarms may say."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A sentence of the engine that was understood; `restarted` when it is about what a restart interrupted."""

    code: str
    values: Mapping[str, str]
    restarted: bool = False


def heard(alarm: str, said: str) -> Heard | None:
    """Return what one of the engine's own alarms says, None for everything that it does not say of its own accord."""
    sentences = OF_ALARM.get(alarm, ())
    text = said.removeprefix(RESTARTED)
    for sentence in sentences:
        if (values := sentence.values_in(text)) is not None:
            return Heard(sentence.code, values, text != said)
    return None
