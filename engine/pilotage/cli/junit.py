"""What became of tests as JUnit's XML, which every build server reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from pilotage.cli.test import Timed

# XML 1.0, 2.2: what is not listed there cannot be written, not even as a reference.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_report(runs: Sequence[Timed], sources: Mapping[str, str]) -> bytes:
    """Return the report: one suite per file, one case per test, one failure per expectation that was not met."""
    root = Element("testsuites", _counts(runs, "pilotage test"))
    for file in dict.fromkeys(run.test.name.at.file for run in runs):
        some = [run for run in runs if run.test.name.at.file == file]
        suite = SubElement(root, "testsuite", _counts(some, file))
        for run in some:
            _case(suite, run, sources)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(runs: Sequence[Timed], name: str) -> dict[str, str]:
    return {
        "name": _clean(name),
        "tests": str(len(runs)),
        "failures": str(sum(not run.result.passed for run in runs)),
        "errors": "0",
        "time": f"{sum(run.seconds for run in runs):.3f}",
    }


def _case(suite: Element, run: Timed, sources: Mapping[str, str]) -> None:
    from pilotage.cli.test import explained

    at = run.test.name.at
    attributes = {
        "name": _clean(run.test.name.text),
        "classname": _clean(at.file.rpartition(".")[0].replace("/", ".") or at.file),
        "file": _clean(at.file),
        "line": str(at.line),
        "time": f"{run.seconds:.3f}",
    }
    case = SubElement(suite, "testcase", attributes)
    for finding in run.result.findings:
        message = {"type": finding.code, "message": _clean(finding.message)}
        SubElement(case, "failure", message).text = _clean(explained(finding, sources))


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
