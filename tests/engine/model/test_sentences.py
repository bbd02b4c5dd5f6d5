"""What the engine says of its own accord: said, and understood again."""

from __future__ import annotations

from string import Formatter

import pytest

from pilotage.model.sentences import OF_ALARM, RESTARTED, SENTENCES, Sentence, heard

PAIRS = [(alarm, sentence) for alarm, of_it in OF_ALARM.items() for sentence in of_it]


def values_of(sentence: Sentence) -> dict[str, str]:
    """Values that make reading hard: other sentences' words, braces, brackets, line ends."""
    hard = ["L-1.level", "40 % (was 30 %)", "{x} was told [y]", "a\nb"]
    names = [name for _, name, _, _ in Formatter().parse(sentence.text) if name]
    values = {name: hard[place % len(hard)] for place, name in enumerate(names)}
    return {**values, **({"times": "3 times"} if "times" in values else {})}


@pytest.mark.parametrize(
    ("alarm", "sentence"), [pytest.param(a, s, id=f"{a}: {s.code}") for a, s in PAIRS]
)
def test_understood(alarm: str, sentence: Sentence) -> None:
    """What an alarm says is read back as its code; saying that again gives the same sentence."""
    said = sentence.say(**values_of(sentence))
    found = heard(alarm, said)
    assert found is not None
    assert (found.code, found.restarted) == (sentence.code, False)
    assert sentence.say(**found.values) == said
    again = heard(alarm, RESTARTED + said)
    assert again is not None
    assert (again.code, again.restarted) == (sentence.code, True)


def test_other_texts() -> None:
    """What a city wrote is nothing of the engine's, and one alarm's sentence is not another's."""
    said = SENTENCES["blocked"].say(plan="snow", other="event")
    assert heard("plan-blocked", said) is not None
    assert heard("dark-street", said) is None
    assert heard("conflict", "the bridge is closed") is None


def test_each_code_once() -> None:
    """Each code is one sentence, and each sentence belongs to an alarm."""
    assert {sentence.code for _, sentence in PAIRS} == set(SENTENCES)
    assert len(PAIRS) == len(SENTENCES)
