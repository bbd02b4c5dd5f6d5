"""Isolated connections in the configuration and in the catalogue: what is imported where, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pilotage.adapter import ISOLATED
from pilotage.model.diagnostics import RuleError
from pilotage.runtime.config import Settings, load_settings, read_settings
from pilotage.runtime.isolation.factory import load_catalogue, with_isolated
from pilotage.runtime.plugins import PluginState, load_plugins
from pilotage.runtime.workshop import CityPlan, CityWorkshop

SITE = "site: {name: Testville, time_zone: Europe/Paris, position: [47.32, 5.04]}\nrules: []\n"


def settings(folder: Path, connection: str) -> Settings:
    file = folder / "config.yaml"
    file.write_text(f"{SITE}connections:\n  vendor: {connection}\n")
    return load_settings(file, {})


def findings(folder: Path, connection: str) -> list[str]:
    """Return what is said of a connection, without the place."""
    try:
        plan: CityPlan = CityWorkshop().read(settings(folder, connection), None)
    except RuleError as error:
        return [f"{finding.code} {finding.message}" for finding in error.findings]
    return [w.splitlines()[0].partition(": ")[2] for w in plan.warnings]


class TestSettings:
    def test_one_line(self, tmp_path: Path) -> None:
        """`isolate: true` is all; the memory has a default, and neither is given to the adapter."""
        (found,) = settings(tmp_path, "{adapter: mqtt, isolate: true, host: x}").connections
        assert (found.isolate, found.memory, found.options) == (True, 300_000_000, {"host": "x"})
        assert found.factory == "mqtt" + ISOLATED

    def test_memory(self, tmp_path: Path) -> None:
        """A size has its unit, and a range."""
        (found,) = settings(tmp_path, "{adapter: x, isolate: true, memory: 1.5 GB}").connections
        assert found.memory == 1_500_000_000

    @pytest.mark.parametrize("size", ["10 MB", "0", "100 GB"])
    def test_bad_memory(self, tmp_path: Path, size: str) -> None:
        """What is too little or too much is refused."""
        file = tmp_path / "config.yaml"
        file.write_text(f"{SITE}connections:\n  v: {{adapter: x, isolate: true, memory: {size}}}\n")
        (found,) = read_settings(file, {}).findings
        assert found.code == "C144"

    def test_memory_alone(self, tmp_path: Path) -> None:
        """A bound without a process is a mistake."""
        with pytest.raises(RuleError, match="C145"):
            settings(tmp_path, "{adapter: x, memory: 300 MB}")


class TestCatalogue:
    def test_not_imported_here(self, rogue: Path, tmp_path: Path) -> None:
        """A plugin that brings only adapters, all of them isolated, is not imported by the engine."""
        found = settings(tmp_path, "{adapter: rogue, isolate: true}")
        catalogue = load_catalogue(found)
        (report,) = [r for r in catalogue.plugins if r.name == "rogue"]
        assert (report.state, report.brings) == (PluginState.ISOLATED, {"adapters": 1})
        assert "pilotage_rogue.plugin" not in sys.modules
        assert "rogue" not in catalogue.adapters
        assert "rogue" + ISOLATED in catalogue.adapters

    def test_every_adapter_can_be_isolated(self) -> None:
        """The adapters that the engine has imported can be isolated by a reload."""
        catalogue = with_isolated(load_plugins())
        assert {"mqtt", "mqtt" + ISOLATED} <= set(catalogue.adapters)

    def test_checks_cross(self, tmp_path: Path) -> None:
        """What an adapter finds wrong is found in its process too, at the same place."""
        (missing,) = findings(tmp_path, "{adapter: mqtt, isolate: true}")
        assert missing == 'missing-key connections.vendor: "host" is missing'

    def test_sound(self, rogue: Path, tmp_path: Path) -> None:
        """A sound connection gives no finding."""
        assert findings(tmp_path, "{adapter: rogue, isolate: true}") == []

    def test_a_plugin_with_more(self, rogue: Path, tmp_path: Path) -> None:
        """Of a plugin that brings kinds too the engine imports those; only the connection is isolated, and a warning says so."""
        (found,) = findings(tmp_path, "{adapter: pulse, isolate: true}")
        assert found == (
            'C148 only the connection is isolated: the plugin "pulse" also brings 1 kinds, which the engine imports'
        )


class TestRefused:
    def test_domain_plugin(self, tmp_path: Path) -> None:
        """A plugin of a domain cannot be isolated, and the finding says why."""
        (found,) = findings(tmp_path, "{adapter: lighting, isolate: true}")
        assert found.startswith('C147 the plugin "lighting" cannot be isolated: it brings')
        assert found.endswith("which rules use inside the engine")

    def test_unknown(self, tmp_path: Path) -> None:
        """An adapter that nobody brings is unknown, isolated or not, and the others are named once."""
        (found,) = findings(tmp_path, "{adapter: mqqt, isolate: true}")
        assert found == 'C142 no plugin brings an adapter "mqqt"'

    def test_hangs_in_check(
        self, rogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plugin that hangs while it checks its settings is named, and keeps the city from nothing."""
        monkeypatch.setattr("pilotage.runtime.isolation.probe.START_S", 1.0)
        (found,) = findings(tmp_path, "{adapter: rogue, isolate: true, fault: hang in check}")
        assert found == (
            'C149 this connection could not be checked: the process of its plugin "rogue"'
            " did not answer within 1 s"
        )

    @pytest.mark.parametrize(
        ("language", "why"),
        [
            ("rogue_aborts_at_import", "was ended by SIGABRT"),
            ("rogue_hangs_at_import", "did not answer within 1 s"),
        ],
    )
    def test_import(
        self, rogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, why: str
    ) -> None:
        """A plugin that aborts or hangs while it is imported is named, and the city starts without it."""
        monkeypatch.setenv("LANG", language)
        if language == "rogue_hangs_at_import":
            monkeypatch.setattr("pilotage.runtime.isolation.probe.START_S", 1.0)
        (found,) = findings(tmp_path, "{adapter: rogue, isolate: true}")
        assert found.endswith(why)


class TestLight:
    def test_the_process_imports_little(self) -> None:
        """The process of a plugin does not pay for the engine: no rules, no journal, no configuration."""
        code = "import pilotage.runtime.isolation.keeper, sys; print(*sorted(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        heavy = (
            "pilotage.language",
            "pilotage.core",
            "pilotage.runtime.config",
            "ruamel",
            "sqlite3",
            "rich",
        )
        assert [m for m in done.stdout.split() if m.startswith(heavy)] == []
