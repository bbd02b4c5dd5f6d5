"""Which files of a folder are rules, and what is in them; what cannot be read is told, and never left out in silence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pilotage.model.diagnostics import Finding, Span
from pilotage.runtime import findings as site

SUFFIXES: Final = (".yaml", ".yml")


def rule_files(path: Path) -> tuple[list[Path], list[Finding]]:
    """Return the rule files of a path, in order of name: itself, or all below it; and which folders cannot be read."""
    if not path.is_dir():  # one that is not there is found by whoever reads the settings
        return [path] if path.is_file() else [], []
    refused: list[OSError] = []
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(path, onerror=refused.append)
        for name in names
        if Path(name).suffix in SUFFIXES
    ]
    return sorted(found), [_refused(str(error.filename), path, error) for error in refused]


def read_files(files: Mapping[str, Path]) -> tuple[dict[str, bytes], list[Finding]]:
    """Return what is in files, by their shown names, and which of them cannot be read."""
    contents: dict[str, bytes] = {}
    findings: list[Finding] = []
    for name, path in files.items():
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            findings.append(_refused(name, path, error))
    return contents, findings


def _refused(name: str, path: Path, error: OSError) -> Finding:
    if path.is_symlink() and not path.exists():
        return site.link_to_nothing(Span(name, 1, 1), name, str(path.readlink()))
    return site.file_unreadable(Span(name, 1, 1), name, error)
