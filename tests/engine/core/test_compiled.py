"""The compiled core: the same decisions as its source, and the same tests."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from pilotage.core.compiled import is_compiled

ROOT = Path(__file__).parents[3]
CORE_TESTS = Path(__file__).parent
CITY_DAY = CORE_TESTS / "city_day.py"
HEADERS = Path(sysconfig.get_path("include")) / "Python.h"

pytestmark = [
    pytest.mark.skipif(is_compiled(), reason="the core is compiled already"),
    pytest.mark.skipif(
        shutil.which("gcc") is None or not HEADERS.exists(),
        reason="there is no C compiler, or no Python.h",
    ),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a process whose core is compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    script = ROOT / "deploy" / "compile_core.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder), "--quick"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_decisions(environment: dict[str, str], seed: int) -> None:
    """Two hours of a city with every rule there is: byte for byte what the source decides."""
    day: dict[str, Any] = runpy.run_path(str(CITY_DAY))
    digest, events = day["digest"](day["city_program"](), seed, 250)
    assert run(environment, str(CITY_DAY), str(seed), "250").stdout == f"{digest} {events}"


def test_same_tests(environment: dict[str, str]) -> None:
    """The tests of the core hold for the compiled one, but for those that look at its source."""
    done = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CORE_TESTS))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


def test_says_so(environment: dict[str, str]) -> None:
    """Whoever asks for the version is told; and an image of the one is never taken up by the other."""
    version = "from pilotage.cli import main; main(['--version'])"
    assert "with a compiled core" in run(environment, "-c", version).stdout
    asked = "from pilotage.runtime.state import code; print(code())"
    assert run(environment, "-c", asked).stdout != run({**os.environ}, "-c", asked).stdout
