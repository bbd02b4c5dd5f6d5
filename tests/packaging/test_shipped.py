"""What is shipped and what is said of it: licences, deployment files, the security page."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NEEDED: Final = sorted(Requirement(line).name for line in PROJECT["project"]["dependencies"])
SUPPORT: Final = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")

# A word of what a package declares, for each word of the manual's table.
_SAME: Final = {
    "MIT": "MIT",
    "Apache-2.0": "Apache",
    "BSD-3-Clause": "BSD",
    "BSD-2-Clause": "BSD-2",
    "LGPL-3.0-or-later": "LGPL",
    "EPL-2.0": "EPL",
}


def declared(name: str) -> str:
    """Return the licence that an installed package declares."""
    found = metadata(name)
    classifiers = found.get_all("Classifier") or []
    return " ".join(
        [
            *(found.get_all("License-Expression") or []),
            *(line for line in classifiers if line.startswith("License")),
            *(line[:60] for line in found.get_all("License") or []),
        ]
    )


class TestLicences:
    def test_table_is_what_is_needed(self) -> None:
        """Each package that is asked for by name has its row, and no other has."""
        rows = re.findall(r"^\| ([\w.-]+) \| [A-Z(z]", SUPPORT, re.M)
        assert sorted(rows) == NEEDED

    @pytest.mark.parametrize("name", NEEDED)
    def test_as_the_package_says(self, name: str) -> None:
        """The manual names the licence that the package itself declares."""
        (row,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", SUPPORT, re.M)
        try:
            said = declared(name)
        except PackageNotFoundError:
            pytest.skip("not for this platform")
        words = [word for word in _SAME if word in row]
        assert [word for word in words if said.strip() and _SAME[word] not in said] == []


class TestDeploy:
    def test_the_container_takes_what_is_built(self) -> None:
        """The image has what the unit has: a user of its own, the same places, one signal."""
        text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
        assert "USER 10001" in text
        assert "PILOTAGE_STORAGE_PATH=/var/lib/pilotage" in text
        assert "STOPSIGNAL SIGTERM" in text

    def test_no_place_of_packages_is_named(self) -> None:
        """Where systems and packages come from is the business of who installs them."""
        for file in (ROOT / "deploy").rglob("*"):
            if file.is_file() and file.suffix != ".json":
                assert not re.search(r"pypi|deb\.debian|docker\.io|quay\.io", file.read_text())
