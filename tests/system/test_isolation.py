"""An engine process with isolated connections: killed plugins come back, disabled ones wait for a reload, and people can see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.city import temporary_folder, until
from tests.faults.suite_plugins import RogueCity

from pilotage import api


@pytest.fixture
def city() -> Iterator[RogueCity]:
    with temporary_folder() as folder:
        city = RogueCity(folder, ["good", "bad"], isolate=True)
        try:
            city.start()
            until(city.is_up, "the city does not come up")
            yield city
        finally:
            city.kill()


def link(city: RogueCity, name: str) -> api.Connection:
    return next(c for c in city.ask(api.GetStatus()).connections if c.name == name)


def command(city: RogueCity, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line for this city, as its operator does."""
    main = "import sys; from pilotage.cli import main; sys.exit(main())"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join([str(city.folder / "site"), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", main, *words, "-c", str(city.folder / "config.yaml")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


class TestProcess:
    def test_status(self, city: RogueCity) -> None:
        """`pilotage status` shows the process of an isolated connection, its memory and its restarts."""
        out = command(city, "status").stdout
        (line,) = (line for line in out.splitlines() if line.startswith("good"))
        pid = link(city, "good").process.pid  # type: ignore[union-attr]
        assert f"isolated: process {pid}, " in line
        assert line.rstrip().endswith("of 120 MB, 0 restarts")

    def test_killed(self, city: RogueCity) -> None:
        """A plugin that is killed is started again; what is wanted of its devices is told again, and counts stay."""
        done = command(city, "override", "L-3.level", "40 %", "--for", "1h", "--reason", "works")
        assert done.returncode == 0, done.stderr
        until(lambda: _value(city) == 40.0, "the lamp does not follow")
        before = link(city, "good").process
        assert before is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: _restarts(city, "good") == 1 and city.is_up(), "it does not come back")
        until(lambda: _value(city) == 40.0, "the lamp was not told again")

    def test_disabled_until_reload(self, city: RogueCity) -> None:
        """After more deaths than a minute may have a connection is disabled; a reload tries it again, the others stay."""
        good = link(city, "good").process
        for number in range(6):
            city.do("bad", "exit")
            until(lambda n=number: link(city, "bad").failures > n, "it did not die")  # type: ignore[misc]
            if number < 5:
                until(lambda: link(city, "bad").state == "up", "it does not come back")
        until(lambda: link(city, "bad").state == "disabled", "it is not disabled")
        found = {f.code: f for f in city.ask(api.GetHealth()).findings}["connection.bad"]
        assert "its process ended 6 times within a minute" in found.text
        assert "`pilotage reload`" in found.mend
        assert command(city, "reload").returncode == 0
        until(lambda: link(city, "bad").state == "up", "the reload does not try it again")
        assert link(city, "good").process.pid == good.pid  # type: ignore[union-attr]


def _value(city: RogueCity) -> Any:
    return city.ask(api.GetPoint(point="L-3.level")).point.value


def _restarts(city: RogueCity, name: str) -> int:
    process = link(city, name).process
    return process.restarts if process is not None else 0


class TestApproval:
    def test_holds_in_the_process_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plugin that is not approved is imported nowhere, not even in a process of its own."""
        from pilotage.runtime.config import load_settings
        from pilotage.runtime.isolation import probe
        from pilotage.runtime.isolation.factory import load_catalogue
        from pilotage.runtime.plugin_lock import lock_text, make_lock
        from pilotage.runtime.plugins import PluginState, installed_plugins

        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "faults" / "rogue"))
        approved = [entry for entry in installed_plugins() if entry.name not in ("rogue", "pulse")]
        lock = tmp_path / "plugins.lock"
        lock.write_text(lock_text(make_lock(approved, "A. Durand")))
        config = tmp_path / "config.yaml"
        config.write_text(
            "site: {name: Testville, position: [47.32, 5.04]}\nrules: []\nplugins: {lock: plugins.lock}\n"
            "connections: {v: {adapter: rogue, isolate: true}}\n"
        )
        catalogue = load_catalogue(load_settings(config, {}))
        (report,) = (r for r in catalogue.plugins if r.name == "rogue")
        assert report.state is PluginState.REFUSED
        assert "pilotage-rogue is not in the lock" in probe.brings("rogue", str(lock)).why
