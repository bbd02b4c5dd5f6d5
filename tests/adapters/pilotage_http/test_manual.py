"""The manual against the adapter: its options and its findings are all there, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pilotage.adapter.payload_binding
import pilotage_http

FOLDER = Path(pilotage_http.__file__).parent
SHARED = Path(pilotage.adapter.payload_binding.__file__)
PAGE = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")


def test_options() -> None:
    """Each option that the adapter reads stands in the manual."""
    text = (FOLDER / "binding.py").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:options|section|tls)\.\w+\(\s*"(\w+)"', text))
    assert len(read) > 30
    assert sorted(word for word in read if f"`{word}`" not in PAGE) == []


def test_findings() -> None:
    """The words of the adapter's findings are all in the manual, and no others."""
    said = {"missing-key", "unknown-key", "wrong-type", "out-of-range"}  # of every section
    for file in (*FOLDER.glob("*.py"), *SHARED.parent.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        said |= set(re.findall(r'problems\.(?:error|warning)\(\s*"([a-z-]+)"', text))
        said |= set(re.findall(r'\bproblems\.error\("([a-z-]+)"', text))
    section = PAGE.split("## Findings")[1]
    assert set(re.findall(r"`([a-z-]+)`", section)) == said
