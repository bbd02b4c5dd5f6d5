"""Which files are rules: all below a folder, and none is left out in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pilotage.runtime.rule_folders import read_files, rule_files


class TestFolders:
    def test_all_below(self, tmp_path: Path) -> None:
        """Files that end in .yaml or .yml, in order of name; a folder is none, whatever it is called."""
        for name in ("b.yml", "a.yaml", "notes.txt", "deep/c.yaml", "old.yaml/d.yaml"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        found, findings = rule_files(tmp_path)
        assert [str(file.relative_to(tmp_path)) for file in found] == [
            "a.yaml", "b.yml", "deep/c.yaml", "old.yaml/d.yaml",
        ]  # fmt: skip
        assert findings == []

    def test_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that cannot be read is a finding, not an empty folder."""

        def refuse(path: Any) -> NoReturn:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)
        found, (finding,) = rule_files(tmp_path)
        assert found == []
        assert finding.message == f'"{tmp_path}" cannot be read: Permission denied'
        assert finding.mend == "give the service's user the right to read it"


class TestFiles:
    def test_every_one_that_cannot_be_read(self, tmp_path: Path) -> None:
        """What can be read is read, and all that cannot is told at once."""
        (tmp_path / "a.yaml").write_text("version: 1\n")
        (tmp_path / "b.yaml").symlink_to("/nowhere/b.yaml")
        files = {name: tmp_path / name for name in ("a.yaml", "b.yaml", "c.yaml")}
        contents, findings = read_files(files)
        assert contents == {"a.yaml": b"version: 1\n"}
        assert [(f.at.file, f.message) for f in findings] == [
            ("b.yaml", '"b.yaml" is a link to /nowhere/b.yaml, where there is nothing'),
            ("c.yaml", 'there is no file "c.yaml"'),
        ]
