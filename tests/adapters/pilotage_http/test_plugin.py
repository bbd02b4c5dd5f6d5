from __future__ import annotations

import subprocess
import sys
from typing import Any

import pluggy
import pytest

from pilotage.hookspecs import Hooks
from pilotage.model.diagnostics import RuleError
from pilotage.testing.adapters import RecordingDoor
from pilotage_http import plugin


def test_hook_pilotage_adapters() -> None:
    """The plugin brings one protocol, named http."""
    manager = pluggy.PluginManager("pilotage")
    manager.add_hookspecs(Hooks)
    manager.register(plugin)
    manager.check_pending()
    assert [f.name for listed in manager.hook.pilotage_adapters() for f in listed] == ["http"]


def test_light() -> None:
    """Loading the plugin loads no protocol library, and neither does checking settings."""
    code = "import sys, pilotage_http.plugin, pilotage_http.binding; print([m for m in sys.modules if m.startswith(('aiohttp', 'ssl'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_open_refuses_mistakes(make_settings: Any, city: Any) -> None:
    """Settings with errors are never opened."""
    (factory,) = plugin.pilotage_adapters()
    with pytest.raises(RuleError, match="unknown-key"):
        factory.open(make_settings(listn={}), city, RecordingDoor())
