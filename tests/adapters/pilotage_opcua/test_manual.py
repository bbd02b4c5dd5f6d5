"""The manual against the adapter: its options and its findings are all there, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pilotage.adapter
import pilotage_opcua

FOLDER = Path(pilotage_opcua.__file__).parent
SHARED = Path(pilotage.adapter.__file__).parent
PAGE = (Path(__file__).parents[3] / "docs" / "opcua.md").read_text(encoding="utf-8")
SOURCES = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.py")}


def test_options() -> None:
    """Each option that the adapter reads stands in the manual."""
    shared = (SHARED / "options.py").read_text(encoding="utf-8")
    text = SOURCES["binding.py"] + SOURCES["security.py"] + shared
    read = set(re.findall(r'(?:options|section)\.\w+\(\s*"(\w+)"', text))
    assert len(read) > 30
    assert sorted(word for word in read if f"`{word}`" not in PAGE) == []


def test_findings() -> None:
    """The words of the adapter's findings are all in the manual, and no others."""
    said = set()
    shared = [
        (SHARED / name).read_text(encoding="utf-8") for name in ("options.py", "selection.py")
    ]
    for text in (*SOURCES.values(), *shared):
        said |= set(re.findall(r'problems\.(?:error|warning)\(\s*"([a-z-]+)"', text))
    said |= {"no-such-file", "certificate"}  # through a function of the certificate files
    section = PAGE.split("## Findings")[1]
    assert set(re.findall(r"`([a-z-]+)`", section)) == said
