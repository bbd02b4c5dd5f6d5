"""Every example of the manual, run: rule files with their tests, configurations, Python, and the command line."""

from __future__ import annotations

import asyncio
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pilotage.adapter import ConnectionSettings
from pilotage.cli import main
from pilotage.language.rules import load_rules
from pilotage.runtime.config import check_connections, check_names, read_settings
from pilotage.runtime.inventory import read_inventory
from pilotage.runtime.isolation.factory import with_isolated
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.testing.adapters import FixedSite
from pilotage.testing.rules import run_tests

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RULE_SECTIONS = frozenset({"rules", "derive", "plans", "alarms", "invariants", "tests"})
LEAST_RULE_EXAMPLES = 25

_FENCE = re.compile(
    r"(?:<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, in which language, and the file it is said to be."""

    page: Path
    line: int
    language: str
    text: str
    file: str

    @property
    def name(self) -> str:
        """The block as a test's id."""
        return f"{self.page.name}:{self.line}"

    @property
    def in_place(self) -> str:
        """The text with its lines numbered as on the page, so that findings point into the page."""
        return "\n" * self.line + self.text


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Block(page, line, match["language"], match["text"], match["file"] or "")


BLOCKS = [block for page in PAGES for block in blocks(page)]


def named(chosen: list[Block]) -> pytest.MarkDecorator:
    """Return parameters with readable ids."""
    return pytest.mark.parametrize("block", chosen, ids=[block.name for block in chosen])


def sections(block: Block) -> set[str]:
    """Return the top-level keys of a YAML block."""
    tree = YAML(typ="safe", pure=True).load(block.text)
    return set(tree) if isinstance(tree, dict) else set()


YAML_BLOCKS = [block for block in BLOCKS if block.language == "yaml"]
CONFIGS = [block for block in YAML_BLOCKS if block.file == "config.yaml"]
RULES = [b for b in YAML_BLOCKS if b not in CONFIGS and sections(b) & RULE_SECTIONS]
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.file]
CONSOLE = [block for block in BLOCKS if block.language == "console"]


def run_python(block: Block) -> types.ModuleType:
    """Return what a Python block defines, as the module that it would be in a package of its own."""
    module = types.ModuleType(f"example_line_{block.line}")
    exec(compile(block.in_place, str(block.page), "exec"), module.__dict__)
    return module


def plugins_of(page: Path) -> list[types.ModuleType]:
    """Return the example plugins of a page."""
    found = [block for block in PYTHON if block.page == page and "@hookimpl" in block.text]
    return [run_python(block) for block in found]


@pytest.fixture(scope="session")
def catalogues() -> Mapping[Path, Catalogue]:
    """What is installed, with the example plugins of each page beside it."""
    return {page: with_isolated(load_plugins(plugins_of(page))) for page in PAGES}


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that are said to be files."""
    for block in BLOCKS:
        if block.page == page and block.file:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")


class TestRules:
    def test_there_are_enough(self) -> None:
        """The language guide shows at least 25 whole rule files, each with tests."""
        whole = [block for block in RULES if block.page.name == "language.md"]
        assert len([block for block in whole if "tests" in sections(block)]) >= LEAST_RULE_EXAMPLES

    @named(RULES)
    def test_is_clean_and_passes(self, block: Block, catalogues: Mapping[Path, Catalogue]) -> None:
        """An example checks without a finding, and all its tests pass."""
        known, name = catalogues[block.page], block.page.name
        text = {name: block.in_place}
        program, findings = load_rules(text, known.kinds, known.functions, known.calls)
        assert [finding.render(text) for finding in findings] == []
        results = run_tests(program)
        assert [finding.render(text) for result in results for finding in result.findings] == []
        assert block.page.name != "language.md" or results

    def test_every_block_is_run(self) -> None:
        """A YAML block is a rule file, a configuration, or a file that one of them names."""
        assert [b.name for b in YAML_BLOCKS if b not in RULES and not b.file] == []


class TestConfigurations:
    @named(CONFIGS)
    def test_loads_without_a_finding(
        self,
        block: Block,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        catalogues: Mapping[Path, Catalogue],
    ) -> None:
        """A configuration loads, its inventory is clean, and its adapters accept their connections."""
        write_files(block.page, tmp_path)
        (tmp_path / "rules").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path)
        known = catalogues[block.page]
        read = read_settings(Path("config.yaml"), {}, secrets=False)
        assert [finding.render(read.sources) for finding in read.findings] == []
        assert read.settings is not None
        inventory = read_inventory(read.settings.inventory, tmp_path, known.kinds)
        assert [finding.render(inventory.sources) for finding in inventory.findings] == []
        site = FixedSite(known.kinds.values(), inventory.entities)
        found = check_connections(read.settings, known.adapters, site)
        found += check_names(read.settings, [report.name for report in known.plugins], known.packs)
        assert [finding.render(read.sources) for finding in found] == []


class TestPython:
    @named(PYTHON)
    def test_runs(self, block: Block, capsys: pytest.CaptureFixture[str]) -> None:
        """A Python block runs, and prints what its last comment lines say."""
        run_python(block)
        said = [line[2:] for line in block.text.splitlines() if line.startswith("#>")]
        printed = capsys.readouterr().out.splitlines()
        assert printed == [line.strip() for line in said]

    def test_example_plugins_are_loaded(self) -> None:
        """The example plugins of the manual are found good, as installed ones would be."""
        examples = [plugin for page in PAGES for plugin in plugins_of(page)]
        catalogue = load_plugins(examples, entry_points=False)
        assert [report.why for report in catalogue.broken] == []
        assert "litter_bin" in catalogue.kinds
        assert "thermometer" in catalogue.adapters

    def test_the_example_adapter_reports(self) -> None:
        """The example adapter of the manual checks its settings, connects and reports."""
        page = ROOT / "docs" / "adapters.md"
        (factory,) = load_plugins(plugins_of(page), entry_points=False).adapters.values()
        heard: list[tuple[str, Any]] = []
        door = types.SimpleNamespace(
            connected=lambda detail: heard.append(("connected", detail)),
            report=lambda point, raw: heard.append((point, raw)),
        )
        site: Any = types.SimpleNamespace(point=lambda name: name or None)
        good = ConnectionSettings("attic", "thermometer", {"point": "attic.temperature"})
        assert factory.check(good, site) == []
        assert factory.check(ConnectionSettings("attic", "thermometer", {}), site) != []
        door_: Any = door
        asyncio.run(factory.open(good, site, door_).run())
        assert heard == [("connected", "the thermometer answers"), ("attic.temperature", 21.5)]


class TestConsole:
    @pytest.mark.parametrize(
        "page", sorted({block.page for block in CONSOLE}), ids=lambda page: page.name
    )
    def test_says_what_is_shown(
        self,
        page: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The commands of a page, run one after the other, say what the page shows."""
        monkeypatch.chdir(tmp_path)
        if any(b.file == "config.yaml" for b in BLOCKS if b.page == page):
            write_files(page, tmp_path)
        for block in (b for b in BLOCKS if b.page == page):
            if block.language == "console":
                for command, shown in sessions(block):
                    main(command.split()[1:])
                    check_output(command, capsys.readouterr().out, shown)
            elif block.file:
                target = tmp_path / block.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, encoding="utf-8")


def sessions(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block with the lines that follow it."""
    command = ""
    shown: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        elif line.strip():
            shown.append(line)
    yield command, shown


def check_output(command: str, printed: str, shown: list[str]) -> None:
    """Compare loosely: blanks do not count, `…` stands for anything, the order counts."""
    rest = [" ".join(line.split()) for line in printed.splitlines()]
    for line in shown:
        if line.strip() == "…":
            continue
        pattern = re.escape(" ".join(line.split())).replace("…", ".*")
        while rest and not re.search(pattern, rest[0]):
            rest.pop(0)
        assert rest, f"`{command}` does not say: {line}\nit says:\n{printed}"
        rest.pop(0)
