"""The scripts that others wrote are what was taken, and come with their licences."""

from __future__ import annotations

import shutil
from pathlib import Path

from pilotage_web.vendor import FOLDER, check


class TestVendored:
    def test_as_they_were_taken(self) -> None:
        """Each file is what the lock says, and no other lies there."""
        assert check() == []

    def test_one_byte_more(self, tmp_path: Path) -> None:
        """A changed file, a missing one and a strange one are named."""
        folder = tmp_path / "vendor"
        shutil.copytree(FOLDER, folder)
        with (folder / "htmx.min.js").open("ab") as file:
            file.write(b" ")
        (folder / "leaflet.css").unlink()
        (folder / "new.js").write_text("")
        assert [line.rpartition("/")[2] for line in check(folder)] == [
            "htmx.min.js: has changed",
            "leaflet.css: is missing",
            "new.js: is in no lock",
        ]

    def test_licences(self) -> None:
        """Each package brings its licence."""
        licences = {file.name for file in FOLDER.glob("*.LICENSE")}
        assert licences == {"htmx.LICENSE", "leaflet.LICENSE", "uplot.LICENSE"}
