"""The pages for vendors: each file that they show is one that `pilotage plugin new` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pilotage.cli.plugin import write_project
from pilotage.testing.contract import AdapterContract

DOCS = Path(__file__).parents[2] / "docs" / "vendors"
_FILE = re.compile(r"<!-- file: ((?:src|tests)/\S+) -->\n```python\n(.*?)^```$", re.S | re.M)


@pytest.mark.parametrize("page", ["tutorial.md", "contract.md"])
def test_shows_what_is_written(tmp_path: Path, page: str) -> None:
    """A file on the page is the file of the project, to the letter."""
    write_project(tmp_path, "acme-lamps", "adapter")
    shown = _FILE.findall((DOCS / page).read_text(encoding="utf-8"))

    assert shown
    for name, text in shown:
        assert (tmp_path / name).read_text(encoding="utf-8") == text, name


def test_every_contract_test_is_explained() -> None:
    """The table has each test of the contract, and no other."""
    page = (DOCS / "contract.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(test_\w+)` \|", page, re.M)

    assert told == [name for name in vars(AdapterContract) if name.startswith("test_")]
