"""The manual against the code: findings, hooks, settings, commands, functions and links are all there, and no others."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.cli import build_parser
from pilotage.hookspecs import Hooks
from pilotage.language import reader, reader_steps, reader_tests
from pilotage.language.functions import BUILTINS, SPECIAL, STATISTICS
from pilotage.language.resolver import GLOBALS
from pilotage.model.entities import PointSpec
from pilotage.model.priorities import Priority
from pilotage.model.units import SYMBOLS
from pilotage.runtime.config import SETTINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENGINE = ROOT / "engine" / "pilotage"
ADAPTER = ROOT / "adapters" / "pilotage_mqtt"
OPTIONS = ROOT / "engine" / "pilotage" / "adapter" / "options.py"
PAYLOADS = OPTIONS.with_name("payload_binding.py")
SELECTION = OPTIONS.with_name("selection.py")
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_CODE = re.compile(r'"([ECWT]\d{3})"')
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.S | re.M)


def text(name: str) -> str:
    """Return a page of the manual."""
    return (DOCS / name).read_text(encoding="utf-8")


def headings(name: str) -> list[str]:
    """Return the headings of a page."""
    return _HEADING.findall(_FENCE.sub("", text(name)))


class TestFindings:
    def test_every_code_has_its_section(self) -> None:
        """Each code that the engine can say has a section, and there is none without a code."""
        said = {
            code
            for file in ENGINE.rglob("*.py")
            for code in _CODE.findall(file.read_text(encoding="utf-8"))
        }
        written = {name for name in headings("findings.md") if re.fullmatch(r"[ECWT]\d{3}", name)}
        assert written == said

    def test_every_section_has_its_mend(self) -> None:
        """Each section says what to do."""
        sections = re.split(r"^### ", text("findings.md"), flags=re.M)[1:]
        assert [s.split()[0] for s in sections if "**Mend:**" not in s] == []


class TestHooks:
    @pytest.mark.parametrize("name", [n for n in vars(Hooks) if n.startswith("pilotage_")])
    def test_signature_is_shown(self, name: str) -> None:
        """Each hook has a section with its exact signature."""
        signature = inspect.signature(getattr(Hooks, name), eval_str=False)
        assert name in headings("hooks.md")
        assert f"{name}{signature}".replace("'", "") in text("hooks.md")

    def test_no_hook_is_invented(self) -> None:
        """The manual has no section of a hook that does not exist."""
        shown = {name for name in headings("hooks.md") if name.startswith("pilotage_")}
        assert shown == {name for name in vars(Hooks) if name.startswith("pilotage_")}

    def test_fields_of_a_point(self) -> None:
        """Each field of a point's declaration is explained."""
        fields = PointSpec.__dataclass_fields__
        assert [name for name in fields if f"`{name}`" not in text("hooks.md")] == []


class TestSettings:
    @pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
    def test_row_says_what_the_schema_says(self, setting: object) -> None:
        """Each setting has a row with its type, its default and its sentence."""
        key, type_, default, doc, variable = (
            getattr(setting, name) for name in ("key", "type", "default", "doc", "variable")
        )
        page = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text("configuration.md"))
        shown = f"`{default}`" if default else ""
        row = " ".join(f"| `{key}` | {type_} | {shown} | {doc} |".split())
        assert row in " ".join(page.split())
        assert not variable or f"| `{variable}` | `{key}` |" in page

    def test_no_setting_is_invented(self) -> None:
        """The table has as many rows as the schema has settings."""
        section = text("configuration.md").split("## Settings")[1].split("Some settings")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert len(rows) == len(SETTINGS)


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the sub-commands of the command line."""
    actions = build_parser()._actions
    (sub,) = (a for a in actions if isinstance(a, argparse._SubParsersAction))
    return dict(sub.choices)


def section_of(command: str) -> str:
    """Return what the manual says of a command."""
    found = re.search(rf"^### {command}\n(.*?)(?=^##|\Z)", text("cli.md"), re.S | re.M)
    return found[1] if found else ""


class TestMqtt:
    def test_options_of_a_connection(self) -> None:
        """Each option that the adapter reads stands in the manual."""
        files = (ADAPTER / "binding.py", ADAPTER / "discovery.py", PAYLOADS, SELECTION)
        source = "\n".join(file.read_text(encoding="utf-8") for file in files)
        read = set(re.findall(r'(?:options|section)\.\w+\(\s*"(\w+)"', source))
        assert sorted(word for word in read if f"`{word}" not in text("adapters.md")) == []

    def test_findings(self) -> None:
        """The words of the adapter's findings are all in the manual, and no others."""
        said = {
            word
            for file in (*ADAPTER.glob("*.py"), OPTIONS, PAYLOADS, SELECTION)
            for word in re.findall(
                r'problems\.(?:error|warning)\(\s*"([a-z-]+)"', file.read_text(encoding="utf-8")
            )
        }
        section = text("adapters.md").split("### Findings")[1].split("###")[0]
        assert set(re.findall(r"`([a-z-]+)`", section)) == said


class TestCommandLine:
    @pytest.mark.parametrize("name", list(commands()))
    def test_command_and_options_are_shown(self, name: str) -> None:
        """Each command has a section that names all its options."""
        section = section_of(name)
        assert section
        options = [
            option
            for action in commands()[name]._actions
            if action.help != argparse.SUPPRESS
            for option in action.option_strings
            if option not in ("-h", "--help")
        ]
        missing = [o for o in options if not re.search(rf"`{re.escape(o)}[ `]", section)]
        assert missing == []

    def test_no_command_is_invented(self) -> None:
        """The manual shows no command that does not exist."""
        shown = re.findall(r"^### (\S+)$", text("cli.md"), re.M)
        assert sorted(shown) == sorted(commands())


class TestLanguage:
    def test_functions(self) -> None:
        """Each function of the language stands in the guide."""
        page = text("language.md")
        names = [*BUILTINS, *STATISTICS, *SPECIAL]
        assert [n for n in names if f"`{n}(" not in page and f" {n} " not in page] == []

    @pytest.mark.parametrize(
        "keys",
        [
            *(reader._SECTIONS, reader._DERIVE_KEYS, reader._RULE_KEYS, reader._PLAN_KEYS),
            *(reader._ACTIVATION_KEYS, reader._LEVEL_KEYS, reader._ALARM_KEYS),
            *(reader._INVARIANT_KEYS, reader_steps._HOLD_KEYS, reader_steps._NOTIFY_KEYS),
            *(reader_steps._INCIDENT_KEYS, reader_tests._TEST_KEYS, reader_tests._STEP_KEYS),
        ],
        ids=lambda keys: keys[0],
    )
    def test_keys(self, keys: tuple[str, ...]) -> None:
        """Each key of a rule file stands in the guide."""
        page = text("language.md")
        assert [key for key in keys if not re.search(rf"`[^`\n]*\b{key}\b[^`\n]*`", page)] == []

    def test_orders_of_tests(self) -> None:
        """Each order that a test may give stands in the guide, and no other."""
        source = (ENGINE / "testing" / "rules.py").read_text(encoding="utf-8")
        shown = text("language.md").split("| order | arguments |")[1].split("\n\n")[0]
        named = re.findall(r"^\| `(\w+)` \|", shown, re.M)
        assert [name for name in named if f'case "{name}":' not in source] == []
        (listed,) = re.findall(r'"write (plan, .*?)"', source)
        assert sorted(named) == sorted(re.split(r", | or ", listed))

    def test_values_of_the_city(self) -> None:
        """Each value that the schedule keeps stands in the guide."""
        assert [name for name in GLOBALS if f"`{name}`" not in text("language.md")] == []

    def test_priorities(self) -> None:
        """Each level stands in the guide, with its number."""
        page = text("language.md")
        assert [p.word for p in Priority if f"| {int(p)} | `{p.word}` |" not in page] == []

    def test_units(self) -> None:
        """Each unit stands in the guide."""
        page = text("language.md").split("### Units")[1].split("### Texts")[0]
        assert [unit for unit in SYMBOLS - {"1"} if f"`{unit}`" not in page] == []

    def test_steps(self) -> None:
        """Each step of a story stands in the guide."""
        assert [
            step for step in reader_steps._STEPS if f"`{step}: " not in text("language.md")
        ] == []


def links() -> Iterator[tuple[Path, str]]:
    """Yield each internal link of the manual."""
    for page in PAGES:
        for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
            if "://" not in target:
                yield page, target


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as the usual renderers make it."""
    plain = re.sub(r"[`*]", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


class TestLinks:
    @pytest.mark.parametrize(("page", "target"), sorted(set(links())), ids=str)
    def test_leads_somewhere(self, page: Path, target: str) -> None:
        """A link leads to a file that is there, and to a heading that it has."""
        path, _, place = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists()
        if place:
            found = _HEADING.findall(_FENCE.sub("", file.read_text(encoding="utf-8")))
            assert place in [anchor(heading) for heading in found]

    def test_every_page_is_on_the_map(self) -> None:
        """The map of the manual leads to each page."""
        index = text("index.md")
        assert [
            p.name for p in DOCS.rglob("*.md") if p.name != "index.md" and p.name not in index
        ] == []
