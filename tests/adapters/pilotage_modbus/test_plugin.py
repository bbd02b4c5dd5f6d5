from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pluggy
import pytest

from pilotage.hookspecs import Hooks
from pilotage.model.diagnostics import RuleError
from pilotage_modbus import plugin

ROOT = Path(__file__).parents[3]
OPTIONS = ROOT / "engine" / "pilotage" / "adapter" / "options.py"
SOURCES = [
    OPTIONS,
    OPTIONS.with_name("selection.py"),
    *sorted((ROOT / "adapters" / "pilotage_modbus").glob("*.py")),
]
PAGE = ROOT / "docs" / "modbus.md"


def test_hook_pilotage_adapters() -> None:
    """The plugin brings one protocol, named modbus."""
    manager = pluggy.PluginManager("pilotage")
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    manager.check_pending()
    assert [f.name for listed in manager.hook.pilotage_adapters() for f in listed] == ["modbus"]


def test_light() -> None:
    """Neither loading the plugin nor checking settings loads the protocol library."""
    code = "import sys, pilotage_modbus.plugin, pilotage_modbus.binding; print([m for m in sys.modules if m.startswith('pymodbus')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_open_refuses_mistakes(make_settings: Any, city: Any, door: Any) -> None:
    """Settings with errors are never opened."""
    (factory,) = plugin.pilotage_adapters()
    with pytest.raises(RuleError, match="unknown-key"):
        factory.open(make_settings(prot=502), city, door)


class TestManual:
    def test_options(self) -> None:
        """Each option that the adapter reads stands in the manual."""
        binding = ROOT / "adapters" / "pilotage_modbus" / "binding.py"
        source = "".join(file.read_text(encoding="utf-8") for file in (binding, OPTIONS))
        read = set(re.findall(r'(?:options|section)\.\w+\(\s*"(\w+)"', source))
        page = PAGE.read_text(encoding="utf-8")
        assert len(read) > 30
        assert sorted(word for word in read if f"`{word}" not in page) == []

    def test_findings(self) -> None:
        """The words of the adapter's findings are all in the manual, and no others."""
        said = {
            word
            for file in SOURCES
            for word in re.findall(
                r'(?:problems\.(?:error|warning)|_tell)\(\s*"([a-z-]+)"',
                file.read_text(encoding="utf-8"),
            )
        }
        section = PAGE.read_text(encoding="utf-8").split("## Findings")[1].split("##")[0]
        assert set(re.findall(r"`([a-z-]+)`", section)) == said
