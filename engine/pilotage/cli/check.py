"""`pilotage check`: every mistake in rules, and in the settings and the inventory of their site."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, USAGE, console, print_error, print_findings
from pilotage.cli.ruleset import UsageError, add_paths, read_rule_set, select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotage.cli.ruleset import RuleSet
    from pilotage.model.diagnostics import Finding

FORMATS = ("text", "json", "sarif")

_EXAMPLES = """\
  pilotage check                              the site of ./config.yaml, with its inventory
  pilotage check rules/lighting.yaml          one file; the site's others are read with it
  pilotage check --format sarif rules > rules.sarif
  pilotage check --strict && pilotage reload

exit codes: 0 no error (with --strict: no warning either), 1 something was found, 2 wrong usage.
"""


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "check",
        "check rules, settings and inventory, all mistakes at once; exit 1 on an error",
        _EXAMPLES,
    )
    add_paths(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="text for people (default), json or sarif"
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument(
        "--untested", action="store_true", help="also name the rules that no test uses"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, and show every finding."""
    from pilotage.model.diagnostics import RuleError

    try:
        selection = select(arguments.paths, arguments.config)
    except UsageError as error:
        print_error(str(error), error.mend)
        return USAGE
    try:
        rules = read_rule_set(selection)
    except RuleError as error:
        return _show(arguments, error.findings, error.sources, None)
    found = [*rules.findings, *_site_doubts(rules)]
    if arguments.untested:
        found += _untested(rules)
    return _show(arguments, found, rules.sources, rules)


def _site_doubts(rules: RuleSet) -> list[Finding]:
    """Return what only the inventory can tell; nothing without one, or while the rules are wrong."""
    if rules.entities is None or rules.has_errors:
        return []
    from pilotage.language.site_checks import check_site

    found = check_site(rules.program, rules.entities)
    return [finding for finding in found if finding.at.file in rules.focus]


def _untested(rules: RuleSet) -> list[Finding]:
    """Return a doubt for each declaration of the files in question that no test uses."""
    from pilotage.language.rules import untested

    return [finding for finding in untested(rules.program) if finding.at.file in rules.focus]


def _show(
    arguments: argparse.Namespace,
    findings: list[Finding],
    sources: Mapping[str, str],
    rules: RuleSet | None,
) -> int:
    if arguments.format == "json":
        print(json.dumps(report(findings, rules), indent=2, ensure_ascii=False))
    elif arguments.format == "sarif":
        from pilotage.cli.sarif import sarif_log

        print(json.dumps(sarif_log(findings), indent=2, ensure_ascii=False))
    else:
        print_findings(findings, sources, sys.stdout)
        _summarise(findings, rules)
    counts = findings if arguments.strict else [f for f in findings if f.is_error]
    return FAILED if counts else OK


def _summarise(findings: list[Finding], rules: RuleSet | None) -> None:
    if rules is None:
        return
    out = console()
    for plugin in rules.catalogue.broken:
        out.print(
            f"the plugin {plugin.name} was left out: {plugin.why}", style="warn", markup=False
        )
    if rules.settings is None:
        out.print(
            "without a site: what needs its inventory was not checked (name it with --config)",
            style="quiet",
        )
    elif rules.entities is None or rules.has_errors:
        out.print("what needs the inventory is checked when there are no errors", style="quiet")
    if not findings:
        out.print(f"[good]no mistakes[/good] in {_extent(rules)}")


def _extent(rules: RuleSet) -> str:
    """Return how much was checked: `4 files: 7 rules, 1 plan, 12 tests; 16 entities`."""
    program = rules.program
    inside = {
        "rule": len([r for r in program.rules if r.decl.name.at.file in rules.focus]),
        "plan": len([p for p in program.plans if p.decl.name.at.file in rules.focus]),
        "alarm": len([a for a in program.alarms if a.decl.name.at.file in rules.focus]),
        "invariant": len([i for i in program.invariants if i.decl.name.at.file in rules.focus]),
        "test": len([t for t in program.tests if t.name.at.file in rules.focus]),
    }
    parts = ", ".join(counted(n, word) for word, n in inside.items() if n) or "nothing"
    text = f"{counted(len(rules.focus), 'file')}: {parts}"
    if rules.entities is not None:
        text += f"; inventory: {counted(len(rules.entities), 'entity', 'entities')}"
    return text


def counted(count: int, word: str, many: str = "") -> str:
    """Return a number with its word: `1 rule`, `3 rules`."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def report(findings: list[Finding], rules: RuleSet | None) -> dict[str, Any]:
    """Return the findings as programs read them."""
    errors = sum(finding.is_error for finding in findings)
    return {
        "files": list(rules.focus) if rules is not None else [],
        "inventory": rules is not None and rules.entities is not None,
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity.value,
                "file": finding.at.file,
                "line": finding.at.line,
                "column": finding.at.column,
                "length": finding.at.length,
                "message": finding.message,
                "label": finding.label,
                "mend": finding.mend,
            }
            for finding in findings
        ],
    }
