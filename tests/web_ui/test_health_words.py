"""What is wrong with the engine, in the reader's language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import pilotage
from pilotage_web.health_words import KINDS, Said, finding_in_words
from pilotage_web.texts import Texts

TEXTS = Texts(ZoneInfo("Europe/Paris"))
ENGINE = Path(pilotage.__file__).parent
OF_CONNECTIONS = ("supervisor.py",)
"""Where a code is put together elsewhere: it is that of a connection."""


def codes() -> Iterator[str]:
    """Every code with which the engine says that something is wrong; a name in it is `x`."""
    for file in sorted(ENGINE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if not _RAISES.search(text):
            continue
        tree = ast.parse(text)
        constants = {
            node.target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "raised":
                continue
            written = node.args[0]
            if isinstance(written, ast.Name) and written.id in constants:
                yield constants[written.id]
            elif isinstance(written, ast.Constant):
                yield str(written.value)
            elif isinstance(written, ast.JoinedStr):
                yield "".join(str(p.value) if isinstance(p, ast.Constant) else "x" for p in written.values)  # fmt: skip
            else:
                where = f"{file.name}:{node.lineno}"
                yield "connection.x" if file.name in OF_CONNECTIONS else _ELSEWHERE.get(file.name, where)  # fmt: skip


_RAISES = re.compile(r"health\w*\.raised\(")
_ELSEWHERE = {"snapshots.py": "snapshot.damaged.x", "process.py": "audit.disk"}


@pytest.mark.parametrize("code", sorted(set(codes())))
def test_all_of_the_engine(code: str) -> None:
    """Each code of the engine has a title and a mend in French; what the engine says stands beside them."""
    said = finding_in_words(TEXTS["fr"], code, "it says so", "do this")
    assert said.detail == "it says so"
    assert "%(" not in said.title
    assert finding_in_words(TEXTS["en"], code, "it says so", "do this") == Said("it says so", "do this")  # fmt: skip


def test_none_too_many() -> None:
    """There are no words for a code that the engine does not have."""
    known = {code.replace("x", "*") if "x" in code.split(".") else code for code in codes()}
    assert {kind.code for kind in KINDS} <= known


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("connection street (mqtt) is down: refused", "La connexion street est coupée."),
        ("connection street (mqtt) is disabled: x", "La connexion street est hors service"),
        ("connection street was not opened: x", "La connexion street n'a pas été ouverte."),
    ],
)
def test_connections(text: str, title: str) -> None:
    """What is wrong with a connection is told apart."""
    assert finding_in_words(TEXTS["fr"], "connection.street", text, "").title.startswith(title)


def test_unknown() -> None:
    """A code of a plugin's own is shown as it is said."""
    said = finding_in_words(TEXTS["fr"], "vendor.odd", "odd", "look")
    assert said == Said("odd", "look")
