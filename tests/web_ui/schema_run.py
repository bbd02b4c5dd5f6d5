"""schemathesis against the whole JSON interface, as each role: requests that fit the document and requests that do not.

    python -m tests.web_ui.schema_run --requests 10000

The interface stands in front of a real engine; what fits is carried out there. Prints a line a role, and what was found.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.requests import HTTPConnection
from tests.web_ui.city import make_city

from pilotage import api
from pilotage_web.app import create_app
from pilotage_web.city import City
from pilotage_web.people import People
from pilotage_web.request import NOBODY, Who
from pilotage_web.rights import Right, Role
from pilotage_web.site import Site

HERE: Final = Path(__file__).parent
BIN: Final = Path(sys.executable).parent
POST: Final = "control"
AT_ONCE: Final = 2
"""schemathesis itself is what takes the time: it makes and checks some 70 requests per second of a processor."""
MOST_EXAMPLES: Final = 200
PER_EXAMPLE: Final = 60
"""About so many requests of a run come of one example of each route; the rest does not depend on it."""
ROLES: Final = tuple(role.value for role in Role)


class TokenOfRole(People):
    """An integration per role: its token is the role's name. Nobody comes with a browser."""

    sign_in = "/sign-in"
    routes = ()

    async def open(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is kept."""

    async def who(self, request: HTTPConnection) -> Who:
        """Return nobody."""
        return NOBODY

    async def prefer(
        self, who: Who, *, language: str = "", theme: str = "", post: str = ""
    ) -> None:
        """Nothing is kept."""

    async def bearer(self, request: HTTPConnection) -> Who:
        """Return the integration of a role."""
        word, _, token = request.headers.get("authorization", "").partition(" ")
        if word != "Bearer" or token not in ROLES:
            return NOBODY
        return Who(token, token, {POST: token}, POST, scopes=frozenset(Right), address="127.0.0.1")


@dataclass(frozen=True, slots=True)
class Found:
    """What a run as a role came to: `failures` is what schemathesis says of them, empty when there is none."""

    role: str
    requests: int
    failures: str


@contextmanager
def served(control: Path, folder: Path) -> Iterator[str]:
    """Serve the interface of an engine in a thread; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    site = Site(
        name="Dijon", socket=str(control), folder=str(folder), port=listener.getsockname()[1]
    )
    app = create_app(site, City(control), TokenOfRole())
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="on")
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the interface does not start"
            time.sleep(0.01)
        yield site.url
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def run(url: str, role: str, *options: str) -> Found:
    """Return what schemathesis finds as a role."""
    command = [
        *(str(BIN / "schemathesis"), "run", f"{url}/api/v1/openapi.json", "--checks", "all"),
        *(
            "--continue-on-failure",
            "--no-color",
            "--warnings",
            "off",
            "--generation-database",
            ":memory:",
        ),
        *options,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "schema_hooks", "PYTHONPATH": str(HERE), "SCHEMA_ROLE": role}
    with tempfile.TemporaryDirectory() as folder:  # it leaves a folder of its own where it runs
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={**os.environ, **hooks}
        )
    said = done.stdout + done.stderr
    sent = re.search(r"(\d+) generated", said)
    _, _, failures = said.partition("= FAILURES =")
    return Found(
        *(role, int(sent[1]) if sent else 0, (failures or said) if done.returncode else "")
    )


@contextmanager
def engine() -> Iterator[Path]:
    """A small city with a real engine in another process; gives its control socket."""
    with tempfile.TemporaryDirectory(prefix="pilotage-schema-", dir="/tmp") as place:
        folder = Path(place, "c")
        make_city(folder)
        control = folder / "var" / "control.sock"
        with Path(place, "log").open("wb") as log:
            process = subprocess.Popen(
                [BIN / "pilotage", "run"], cwd=folder, stdout=log, stderr=log
            )
        try:
            while not _answers(control):
                assert process.poll() is None, Path(place, "log").read_text()
                time.sleep(0.05)
            yield control
        finally:
            process.terminate()
            process.wait(20)


def _answers(control: Path) -> bool:
    with suppress(api.ApiError), api.Client(control) as client:
        return bool(client.ask(api.GetStatus()))
    return False


def until(url: str, role: str, wanted: int) -> list[Found]:
    """Run as a role, with a new seed each time, until there were so many requests; says a line a run."""
    runs: list[Found] = []
    while (sent := sum(found.requests for found in runs)) < wanted:
        seed, examples = len(runs) + 1, max(1, min(MOST_EXAMPLES, (wanted - sent) // PER_EXAMPLE))
        found = run(url, role, "--max-examples", str(examples), "--seed", str(seed))
        assert found.requests, found.failures
        runs.append(found)
        print(f"seed {seed}, {role}: {found.requests} requests", found.failures, flush=True)
    return runs


def main() -> int:
    """Run as every role, two at a time, until each has sent enough requests; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="as each role, at the least")
    wanted = parser.parse_args().requests
    began = time.monotonic()
    with (
        engine() as control,
        tempfile.TemporaryDirectory() as folder,
        served(control, Path(folder)) as url,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        runs = list(pool.map(lambda role: until(url, role, wanted), ROLES))
    for role, of_it in zip(ROLES, runs, strict=True):
        print(f"{role}: {sum(found.requests for found in of_it)} requests")
    bad = sum(bool(found.failures) for of_it in runs for found in of_it)
    print(f"{bad} runs found something, in {(time.monotonic() - began) / 60:.0f} min")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
