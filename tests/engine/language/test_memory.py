"""A check that remembers the last one finds what a check of everything finds, byte for byte."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pilotage.language.memory import RuleMemory
from pilotage.language.rules import load_rules
from pilotage.runtime.plugins import Catalogue, load_plugins

REPOSITORY = Path(__file__).resolve().parents[3]
RULES = [
    *(REPOSITORY / "plugins").glob("pilotage_*/rules/*.yaml"),
    *(REPOSITORY / "tests" / "rules" / "good").glob("*.yaml"),
    *(REPOSITORY / "tests" / "rules" / "bad_checked").glob("*.yaml"),
]
POOL = {path.name: path.read_bytes() for path in sorted(RULES)}
WORD = re.compile(rb"[a-z][a-z_-]{3,}")
FILES_AT_ONCE = 4
STEPS = 25

SMALL = b"""\
version: 1
derive:
  quiet: {owner: lighting, for_each: {lamp: {kind: lamp}}, value: lamp.power > 60 W}
rules:
  dim: {title: Dim, owner: lighting, for_each: {lamp: {kind: lamp}}, while: lamp.quiet, hold: [{set: lamp.level, to: 30 %, priority: saving}]}
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """What the domain plugins bring."""
    folders = sorted((REPOSITORY / "plugins").glob("pilotage_*"))
    modules = [import_module(f"{folder.name}.plugin") for folder in folders]
    return load_plugins(extra=modules, entry_points=False)


def edits(seed: int) -> Iterator[dict[str, bytes]]:
    """A rule set that people work on: words, lines, declarations and files come, go and change."""
    dice = random.Random(seed)
    texts = {name: POOL[name] for name in dice.sample(sorted(POOL), FILES_AT_ONCE)}
    yield dict(texts)
    for _ in range(STEPS):
        name = dice.choice(sorted(texts))
        lines = texts[name].splitlines(keepends=True) or [b"\n"]
        at = dice.randrange(len(lines))
        match dice.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, dice.choice(lines))
            case 2:
                lines.insert(at, b"# nothing\n")
            case 3 | 4 | 5:  # a word becomes another, of this file or of any
                words = WORD.findall(texts[dice.choice(sorted(texts))])
                found = [(n, m) for n, line in enumerate(lines) for m in WORD.finditer(line)]
                if found and words:
                    at, match = dice.choice(found)
                    line, word = lines[at], dice.choice(words)
                    lines[at] = line[: match.start()] + word + line[match.end() :]
            case 6:
                lines = POOL.get(name, b"").splitlines(keepends=True)
            case _:
                texts.pop(name)
                name = dice.choice(sorted(POOL))
                lines = POOL[name].splitlines(keepends=True)
        texts[name] = b"".join(lines)
        yield dict(texts)


@pytest.mark.parametrize("seed", range(4))
def test_random_edits(seed: int, catalogue: Catalogue) -> None:
    """After every edit program and findings are those of a check that remembers nothing."""
    brought = catalogue.kinds, catalogue.functions, catalogue.calls
    memory = RuleMemory()
    for texts in edits(seed):
        again, found = load_rules(texts, *brought, memory)
        program, wanted = load_rules(texts, *brought)
        assert found == wanted
        assert repr(again) == repr(program)


class TestSpared:
    @pytest.fixture
    def checked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names of the rules that were checked."""
        names: list[str] = []
        checker: Any = import_module("pilotage.language.checker")
        check: Callable[..., Any] = checker.check_rule

        def noting(inspection: Any, declaration: Any) -> Any:
            names.append(declaration.name.text)
            return check(inspection, declaration)

        monkeypatch.setattr(checker, "check_rule", noting)
        return names

    def test_other_file(self, catalogue: Catalogue, checked: list[str]) -> None:
        """A change of one file leaves the rules of the others alone."""
        memory, other = RuleMemory(), SMALL.replace(b"dim", b"low").replace(b"quiet", b"calm")
        brought = catalogue.kinds, catalogue.functions, catalogue.calls
        before, _ = load_rules({"a.yaml": SMALL, "b.yaml": other}, *brought, memory)
        checked.clear()
        brighter = other.replace(b"30 %", b"40 %")
        after, _ = load_rules({"a.yaml": SMALL, "b.yaml": brighter}, *brought, memory)
        assert checked == ["low"]
        assert after.rules[0] is before.rules[0]

    def test_other_declaration(self, catalogue: Catalogue) -> None:
        """What is written at the same place as before is not read again; what has moved, is."""
        brought = catalogue.kinds, catalogue.functions, catalogue.calls
        memory, two = RuleMemory(), SMALL + SMALL.partition(b"rules:\n")[2].replace(b"dim", b"low")
        before, _ = load_rules({"a.yaml": two}, *brought, memory)
        brighter = two.replace(b"30 %", b"40 %", 1)
        after, _ = load_rules({"a.yaml": brighter}, *brought, memory)
        assert [a is b for a, b in zip(before.rules, after.rules, strict=True)] == [False, True]
        moved, _ = load_rules({"a.yaml": b"# moved\n" + brighter}, *brought, memory)
        assert [m.decl.name.at.line for m in moved.rules] == [6, 7]

    def test_name_that_is_read(self, catalogue: Catalogue, checked: list[str]) -> None:
        """A rule is checked again when a derived value that it reads is another."""
        head, _, tail = SMALL.partition(b"rules:\n")
        brought = catalogue.kinds, catalogue.functions, catalogue.calls
        memory, rules = RuleMemory(), b"version: 1\nrules:\n" + tail
        load_rules({"a.yaml": head, "b.yaml": rules}, *brought, memory)
        checked.clear()
        number = head.replace(b"lamp.power > 60 W", b"lamp.power")
        _, found = load_rules({"a.yaml": number, "b.yaml": rules}, *brought, memory)
        assert checked == ["dim"]
        assert any(finding.is_error for finding in found)
