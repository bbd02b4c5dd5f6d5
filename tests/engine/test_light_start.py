"""What a start does not wait for: libraries that only some cities, some commands or some moments need."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "aiohttp",
    "asyncua",
    "cryptography",
    "holidays",
    "paho",
    "pymodbus",
    "rich",
    "starlette",
}


def imported(code: str) -> set[str]:
    """Return the modules that a process has after running some code."""
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


class TestService:
    def test_no_heavy_library(self) -> None:
        """The engine's service comes without the libraries of protocols, of holidays and of pages."""
        modules = imported("import pilotage.service, pilotage.runtime.workshop")
        assert {m.partition(".")[0] for m in modules} & HEAVY == set()


class TestCommand:
    def test_no_other_command(self) -> None:
        """A command is found without importing the others."""
        modules = imported(
            "import contextlib, pilotage.cli\n"
            "with contextlib.suppress(SystemExit): pilotage.cli.main(['run', '--help'])"
        )
        assert "pilotage.cli.run" in modules
        assert not modules & {"pilotage.cli.audit", "pilotage.cli.explain", "pilotage.cli.history"}
