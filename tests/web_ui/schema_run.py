"""schemathesis against the whole JSON interface, as each role: requests that fit the document and requests that do not.

    python -m tests.web_ui.schema_run --requests 10000
    python -m tests.web_ui.schema_run --minutes 4 --kept schema.json    # again and again, until it ends with 0 or 1

The interface stands in front of a real engine; what fits is carried out there. Prints a line a run, and what was found. With `--minutes`
it ends in time (with 3 when there is more to do), and goes on from what `--kept` holds when it is started again.
"""

from __future__ import annotations

import argparse
import asyncio
import math
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

import msgspec
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
FIRST: Final = ("--phases", "examples,coverage")
"""What does not depend on the seed is run once."""
FURTHER: Final = ("--phases", "fuzzing,stateful", "--max-examples", "8")
"""A run of these takes about half a minute, so that it can be broken off after any."""
MORE: Final = 3
"""Ends with this when time was up before all requests were sent."""
CONFIG: Final = """\
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
"""As schemathesis has it, and 413: what is longer than the document allows may be too large to be read at all."""
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
        Path(folder, "schemathesis.toml").write_text(CONFIG)
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


class Kept:
    """What was run already, by role: kept in a file, so that the next one goes on from there."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        is_there = file is not None and file.exists()
        self.runs = (
            msgspec.json.decode(file.read_bytes(), type=list[Found]) if is_there and file else []
        )

    def of(self, role: str) -> list[Found]:
        """Return the runs as a role."""
        return [found for found in self.runs if found.role == role]

    def add(self, found: Found) -> None:
        """Keep a run, and say it."""
        with self._lock:
            self.runs.append(found)
            if self._file is not None:
                self._file.write_bytes(msgspec.json.encode(self.runs))
        sent = sum(each.requests for each in self.of(found.role))
        print(f"{found.role}: {found.requests} requests, {sent} in all", found.failures, flush=True)


def until(url: str, role: str, wanted: int, kept: Kept, ends: float) -> bool:
    """Run as a role, with a new seed each time, until there were so many requests; False when time was up before."""
    while sum(found.requests for found in kept.of(role)) < wanted:
        if time.monotonic() >= ends:
            return False
        seed = len(kept.of(role))
        found = run(url, role, *(FURTHER if seed else FIRST), "--seed", str(seed))
        assert found.requests, found.failures
        kept.add(found)
    return True


def main() -> int:
    """Run as every role, two at a time, until each has sent enough requests; 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="as each role, at the least")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no run after so long"
    )
    parser.add_argument(
        "--kept", type=Path, help="goes on from what this file holds, and adds to it"
    )
    given = parser.parse_args()
    kept, ends = Kept(given.kept), time.monotonic() + 60 * given.minutes
    with (
        engine() as control,
        tempfile.TemporaryDirectory() as folder,
        served(control, Path(folder)) as url,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        done = list(pool.map(lambda role: until(url, role, given.requests, kept, ends), ROLES))
    for role in ROLES:
        print(f"{role}: {sum(found.requests for found in kept.of(role))} requests")
    bad = sum(bool(found.failures) for found in kept.runs)
    print(f"{bad} runs found something")
    return 1 if bad else 0 if all(done) else MORE


if __name__ == "__main__":
    sys.exit(main())
