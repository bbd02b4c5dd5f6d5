"""`pilotage test`: runs the tests that stand in rule files, against the engine that runs the city."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, USAGE, console, print_error, print_findings
from pilotage.cli.ruleset import UsageError, add_paths, read_rule_set, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pilotage.cli.ruleset import RuleSet
    from pilotage.language.syntax import RuleTest
    from pilotage.model.diagnostics import Finding
    from pilotage.testing.rules import TestResult

SLOW_S: Final = 1.0
"""A progress bar appears when the tests take longer."""

_EXAMPLES = """\
  pilotage test                               the tests in the site's rules
  pilotage test rules/lighting.yaml -k pedestrian
  pilotage test --coverage                    which conditions were seen true, false and unknown
  pilotage test --junit report.xml            for a build server

exit codes: 0 all passed, 1 a test failed or a rule file has a mistake, 2 wrong usage.
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """A test that was run, and how long it took."""

    test: RuleTest
    result: TestResult
    seconds: float


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "test", "run the tests in rule files; exit 1 when one fails", _EXAMPLES
    )
    add_paths(parser)
    parser.add_argument(
        "-k", dest="keyword", metavar="TEXT", default="", help="only tests whose name contains it"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="name each test")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a report in JUnit's XML")
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="show what the tests saw of each rule: its condition, and its demands",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the tests and show what became of them."""
    try:
        rules = read_rule_set(select(arguments.paths, arguments.config))
    except UsageError as error:
        print_error(str(error), error.mend)
        return USAGE
    if rules.has_errors:
        errors = [finding for finding in rules.findings if finding.is_error]
        print_findings(errors, rules.sources)
        console().print("no test was run: the rules have mistakes", style="bad")
        return FAILED
    tests = _chosen(rules, arguments.keyword)
    began = time.perf_counter()
    runs = list(_run_all(rules, tests))
    _show(runs, rules.sources, verbose=arguments.verbose)
    if arguments.coverage:
        from pilotage.cli.coverage import print_coverage

        print_coverage(rules, runs)
    if arguments.junit is not None:
        from pilotage.cli.junit import junit_report

        arguments.junit.write_bytes(junit_report(runs, rules.sources))
    _summarise(runs, time.perf_counter() - began, _where(rules, arguments.keyword))
    return OK if all(run.result.passed for run in runs) else FAILED


def _chosen(rules: RuleSet, keyword: str) -> list[RuleTest]:
    return [
        test
        for test in rules.program.tests
        if test.name.at.file in rules.focus and keyword.lower() in test.name.text.lower()
    ]


def _run_all(rules: RuleSet, tests: Sequence[RuleTest]) -> Iterator[Timed]:
    progress = _Progress(len(tests))
    try:
        for test in tests:
            progress.show(test.name.text)
            began = time.perf_counter()
            result = _run_one(rules, test)
            yield Timed(test, result, time.perf_counter() - began)
    finally:
        progress.close()


def _run_one(rules: RuleSet, test: RuleTest) -> TestResult:
    """Run one test; a mistake of the engine or of a plugin fails this test and stops no other."""
    from pilotage.model.diagnostics import Finding, Severity
    from pilotage.testing.rules import TestResult, run_test

    try:
        return run_test(rules.program, test, rules.site)
    except Exception as error:
        text = f"the engine failed with {type(error).__name__}: {error}"
        mend = "this is a mistake of the engine or of a plugin: report it with this test"
        found = Finding("T799", Severity.ERROR, test.name.at, text, "", mend)
        return TestResult(test.name.text, test.name.at.file, [found])


class _Progress:
    """A bar on the terminal, once the tests have taken a while; nothing anywhere else."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.perf_counter()
        self._done = 0
        self._bar: Any = None
        self._task: Any = None

    def show(self, name: str) -> None:
        """Say which test runs now."""
        if self._bar is None and time.perf_counter() - self._began > SLOW_S and sys.stderr.isatty():
            from rich.progress import Progress

            self._bar = Progress(console=console(sys.stderr), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("tests", total=self._total)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=name[:60])
        self._done += 1

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _show(runs: Sequence[Timed], sources: Mapping[str, str], *, verbose: bool) -> None:
    out = console()
    by_file: dict[str, list[Timed]] = {}
    for run in runs:
        by_file.setdefault(run.test.name.at.file, []).append(run)
    for file, some in by_file.items():
        failed = sum(not run.result.passed for run in some)
        passed = len(some) - failed
        counts = [f"[good]{passed} passed[/good]"] if passed else []
        counts += [f"[bad]{failed} failed[/bad]"] if failed else []
        out.print(f"[place]{file}[/place]: {', '.join(counts)}")
        for run in some:
            _show_one(run, sources, verbose=verbose)


def _show_one(run: Timed, sources: Mapping[str, str], *, verbose: bool) -> None:
    out = console()
    if run.result.passed:
        if verbose:
            out.print(f"  passed  {run.test.name.text}", style="good", markup=False)
        return
    out.print(f"  failed  {run.test.name.text}", style="bad", markup=False)
    for finding in run.result.findings:
        for line in explained(finding, sources).split("\n"):
            caret = line.lstrip().startswith("^")
            out.print(f"  {line}", style="caret" if caret else None, markup=False)


def explained(finding: Finding, sources: Mapping[str, str]) -> str:
    """Return an expectation that was not met as people read it: what the engine says of itself is a reason."""
    text = finding.render(sources)
    return text.replace("\n   mend: ", "\n   why: ") if finding.code == "T701" else text


def _where(rules: RuleSet, keyword: str) -> str:
    files = "1 file" if len(rules.focus) == 1 else f"{len(rules.focus)} files"
    return f'in {files} with "{keyword}" in its name' if keyword else f"in {files}"


def _summarise(runs: Sequence[Timed], seconds: float, where: str) -> None:
    out = console()
    if not runs:
        out.print(f"no test found {where}; write one under `tests:`", style="warn", markup=False)
        return
    failed = sum(not run.result.passed for run in runs)
    tests = "1 test" if len(runs) == 1 else f"{len(runs)} tests"
    if failed:
        out.print(f"[bad]{failed} of {tests} failed[/bad] in {seconds:.2f} s")
    else:
        out.print(f"[good]{tests} passed[/good] in {seconds:.2f} s")
