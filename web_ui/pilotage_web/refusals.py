"""Why the engine did not take an order, in the reader's language.

The engine says it in one English sentence, which also stands in the audit. Those that people meet at their desks are known here; another
is shown as it is.
"""

from __future__ import annotations

import re
from typing import Final

from pilotage.model.sentences import Sentence
from pilotage_web.texts import Words, mark

KNOWN: Final = (
    # alarms
    mark("there is nothing to acknowledge"),
    mark("its cause still lasts"),
    mark("it is not shelved"),
    mark("it is not out of service"),
    mark("a comment needs its text"),
    mark("nobody has taken it"),
    mark("there is nothing to see to: it is normal"),
    mark("you have it already"),
    mark("an end is needed"),
    mark("at most %(hours)s h are allowed"),
    mark("only %(who)s may do that"),
    mark("a reason is needed"),
    mark("it is out of service: return it to service first"),
    mark('there is no alarm "%(name)s"'),
    # incidents
    mark('there is no incident "%(name)s"'),
    mark("it is closed already"),
    mark("a text is needed"),
    mark("a title is needed"),
    # plans
    mark('there is no plan "%(name)s"'),
    mark("nothing is proposed"),
    mark("only %(who)s may answer"),
    mark('nobody asked "%(name)s"'),
    mark("only %(who)s may change %(plan)s"),
    mark("levels go from 0 to %(highest)s"),
    mark("an end lies ahead, at most %(days)s d from now"),
    mark("%(other)s is active, and at most one plan of the group may be: end it first"),
    mark("%(other)s is active now, and at most one plan of the group may be"),
    mark("an order may be taken back within %(seconds)s s; set the level that you want"),
    mark("the step is ticked off already"),
    mark("a step is ticked off or left open: there is no other answer"),
    mark("nobody waits for a second person"),
    mark("the second person must be another one"),
    # glass
    mark("the glass is whole"),
    mark("it is broken already: mend it first"),
    # equipment
    mark('there is no point "%(name)s"'),
    mark("an end is needed, at most %(time)s from now"),
    mark("%(value)s is no value of %(point)s (%(type)s)"),
    mark('there is no equipment "%(name)s"'),
    mark('there is no rule "%(name)s"'),
    mark("%(plan)s has no level %(level)s"),
    mark("%(point)s cannot be commanded: it is %(access)s"),
    mark("%(point)s: %(value)s is not among its values (%(values)s)"),
    mark("this engine records no history"),
    mark("orders are not taken now: %(why)s"),
)
MENDS: Final = (
    mark("look for it in the list; ids are those of the inventory"),
    mark("look at it as it is now, and decide again"),
    mark("look at the point or plan before you repeat it"),
    mark("try again in a moment"),
    mark("try again later"),
    mark("write it again later"),
    mark("check a smaller part"),
    mark("use `pilotage check` on the machine"),
    mark("`pilotage plan` lists them"),
    mark("`pilotage status` and the rules' page list them"),
    mark("a point is ENTITY.POINT; `pilotage status --points` lists them"),
    mark("see `pilotage status`"),
    mark("see the engine's log"),
    mark("set history.enabled, or see `pilotage status` for trouble with its file"),
)
"""What the engine says is to be done, where people meet it."""


def _sentence(text: str) -> Sentence:
    return Sentence(text, re.sub(r"%\((\w+)\)s", r"{\1}", text))


_SENTENCES: Final = tuple(_sentence(text) for text in KNOWN)


def why_not(words: Words, said: str) -> str:
    """Return what the engine said, in the reader's language where it is known."""
    for sentence in _SENTENCES:
        if (values := sentence.values_in(said)) is not None:
            return words.say(sentence.code, **values)
    return said


def mend_of(words: Words, said: str) -> str:
    """Return the mend that the engine says, in the reader's language where it is known."""
    return words.say(said) if said in MENDS else said
