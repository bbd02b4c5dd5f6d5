"""Findings as a SARIF log, which code hosts and editors show beside the lines.

Source: OASIS SARIF 2.1.0, 3.13 (sarifLog), 3.27 (result), 3.30 (region): lines and columns count from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pilotage.model.diagnostics import Finding

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def sarif_log(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a log with one run."""
    codes = sorted({finding.code for finding in findings})
    rules = {code: index for index, code in enumerate(codes)}
    driver = {
        "name": "pilotage check",
        "semanticVersion": _version(),
        "rules": [{"id": code, "name": code} for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, rules[finding.code]) for finding in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    at = finding.at
    text = finding.message
    if finding.label:
        text += f" ({finding.label})"
    if finding.mend:
        text += f". Mend: {finding.mend}"
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(at.file)}}
    if at.line >= 1:
        column = max(1, at.column)
        location["region"] = {
            "startLine": at.line,
            "startColumn": column,
            "endColumn": column + max(1, at.length),
        }
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity.value,
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
    }


def _uri(file: str) -> str:
    """Return a file as a URI: relative ones stay relative, so that a log can be moved with its tree."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _version() -> str:
    try:
        return version("pilotage")
    except PackageNotFoundError:
        return "0.0.0"
