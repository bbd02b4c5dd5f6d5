"""A plugin project as a vendor gets it: written, installed, tested, type-checked, found, and at work in a running city."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage import api
from pilotage.cli.plugin import write_project
from pilotage.testing.lamp_gateway import FakeLampGateway

TUTORIAL = Path(__file__).parents[2] / "docs" / "vendors" / "tutorial.md"
_FILE = re.compile(r"<!-- file: city/(\S+) -->\n```\w+\n(.*?)^```$", re.S | re.M)
MAIN = "import sys; from pilotage.cli import main; sys.exit(main())"


class Environment:
    """A virtual environment of its own that sees the libraries of this one, and no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        venv.create(folder / "venv", symlinks=True)
        packages = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        Path(packages, "host.pth").write_text(line)
        for kind in ("adapter", "domain"):
            write_project(
                folder / kind, {"adapter": "acme-lamps", "domain": "acme-bins"}[kind], kind
            )
        projects = [str(folder / kind) for kind in ("adapter", "domain")]
        here = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q"]
        offline = ["--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*here, *offline, *projects], check=True, capture_output=True)

    def run(self, *words: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            [str(self.python), *words],
            cwd=folder or self.folder,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("vendor"))


@pytest.mark.parametrize("kind", ["adapter", "domain"])
class TestProject:
    def test_its_own_tests_pass(self, environment: Environment, kind: str) -> None:
        """What is written is green before the vendor has changed a line; warnings count as failures."""
        loop = ("-p", "no:asyncio")  # of this environment, not of the vendor's
        said = environment.run("-m", "pytest", "-q", *loop, folder=environment.folder / kind)
        assert "failed" not in said

    def test_is_fully_typed(self, environment: Environment, kind: str) -> None:
        """Mypy --strict has nothing to say."""
        said = environment.run("-m", "mypy", folder=environment.folder / kind)
        assert said.startswith("Success: no issues")

    def test_keeps_the_style_of_ours(self, environment: Environment, kind: str) -> None:
        """The linter of this project has nothing to say of it either, but for who stands where among the imports."""
        options = (
            "check",
            "--select",
            "E,F,W,N,UP,B,ASYNC,RUF,SIM",
            "--ignore",
            "E501,RUF002,N818",
        )
        environment.run("-m", "ruff", *options, "--no-cache", str(environment.folder / kind))


class TestInstalled:
    def test_is_found(self, environment: Environment) -> None:
        """`pilotage plugins` lists both."""
        said = environment.run("-c", MAIN, "plugins")
        rows = [" ".join(line.split()) for line in said.splitlines()]
        assert "acme_lamps 0.1.0 loaded 1 adapter" in rows
        assert "acme_bins 0.1.0 loaded 1 kind, 1 function, 1 call, 1 rule file" in rows

    def test_controls_a_device(self, environment: Environment, city: Any) -> None:
        """In a running city a rule sets a lamp behind the gateway, and again after the gateway was killed."""
        gateway, ask = city
        until(lambda: held(gateway, "lamp-1") == held(gateway, "lamp-2") == 40.0)
        gateway.kill()
        gateway.start()
        until(lambda: held(gateway, "lamp-1") == held(gateway, "lamp-2") == 40.0)
        connection = ask(api.GetStatus()).connections[0]
        assert (connection.adapter, connection.state) == ("acme_lamps", "up")


@pytest.fixture
def city(environment: Environment, tmp_path: Path) -> Iterator[Any]:
    """A gateway with two lamps, and the city of the tutorial, with the vendor's plugin."""
    gateway = FakeLampGateway(["lamp-1", "lamp-2"])
    gateway.start()
    (tmp_path / "rules").mkdir()
    for name, text in _FILE.findall(TUTORIAL.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text.replace("port: 4001", f"port: {gateway.port}"))
    with (tmp_path / "log").open("w") as log:
        words = [str(environment.python), "-c", MAIN, "run", "-c", str(tmp_path / "config.yaml")]
        engine = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)

    def ask(question: Any) -> Any:
        with api.Client(tmp_path / "var" / "control.sock", 5.0) as client:
            return client.ask(question)

    yield gateway, ask
    engine.terminate()
    assert engine.wait(20) == 0, (tmp_path / "log").read_text()
    gateway.kill()


def held(gateway: FakeLampGateway, lamp: str) -> Any:
    return asyncio.run(gateway.held(f"{lamp}.level"))


def until(true: Any, timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
