"""A thousand guesses a second at the sign-in: the pages of those who are in stay quick, and whoever has the right comes in."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pyotp
from tests.faults.city import temporary_folder
from tests.faults.figures import Figure, Size

from pilotage_web.people.records import By
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sessions import Origin
from pilotage_web.rights import Role

GOALS = ("G16",)
RATE: Final = {Size.SHORT: 200.0, Size.LONG: 1_000.0}
SECONDS: Final = {Size.SHORT: 3.0, Size.LONG: 60.0}
P99_MS: Final = {Size.SHORT: 3_000.0, Size.LONG: 300.0}
PAUSE_S: Final = 0.02
SIGN_IN_EVERY_S: Final = 1.0
PASSWORD: Final = "seven tin cups on a sill"
SECRET: Final = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@dataclass
class Seen:
    """What those who are in, and those who have the right to come in, saw meanwhile."""

    pages_ms: list[float] = field(default_factory=list)
    came_in: int = 0
    shut_out: list[str] = field(default_factory=list)


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Flood the sign-in of real pages in another process."""
    with temporary_folder() as folder, pages(folder) as (port, register):
        seen, tries = _during(port, register, size)
    answered = sum(tries.values())
    say(f"{answered:,} tries, by status {tries}; {len(seen.pages_ms):,} pages")
    seen.pages_ms.sort()
    p99 = seen.pages_ms[int(len(seen.pages_ms) * 0.99)]
    asked = f"{answered / SECONDS[size]:,.0f} tries a second for {SECONDS[size]:g} s"
    wrong = {status for status in tries if status not in (403, 429, 503)}
    return [
        Figure(
            *("G16", f"pages of operators during {asked}", f"p99 < {P99_MS[size]:g} ms"),
            *(f"p99 {p99:,.0f} ms of {len(seen.pages_ms):,} pages", p99 < P99_MS[size]),
        ),
        Figure(
            *("G16", "sign-ins with the right password meanwhile: a known browser, a code, a quiet address"),
            *("0 shut out", f"{seen.came_in} came in, {len(seen.shut_out)} shut out {seen.shut_out[:3]}"),
            seen.came_in > 0 and not seen.shut_out,
        ),
        Figure(
            *("G16", "guesses", "none lets in, none breaks the pages"),
            *(f"{answered:,} refused" if not wrong else f"status {sorted(wrong)}", not wrong),
        ),
    ]  # fmt: skip


@contextmanager
def pages(folder: Path) -> Iterator[tuple[int, Register]]:
    """The pages of a site whose engine is away: their port, and their people."""
    register, by, now = open_register(folder), By("root", "cli"), time.time()
    hashed = register.hasher.hash_now(PASSWORD)
    for name in ("known", "coded", "quiet", "operator"):
        register.accounts.add(name, {"traffic": Role.OPERATOR}, by, now, language="en")
        register.accounts.set_password(name, hashed, by, now)
    register.accounts.set_second("coded", SECRET, 1, by, now)
    site = {"name": "Dijon", "socket": str(folder / "no.sock"), "folder": str(folder), "port": 0}
    process = subprocess.Popen(
        [sys.executable, "-m", "pilotage_web"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps({**site, "second_factor": False}).encode() + b"\n")
        process.stdin.flush()
        ready = json.loads(process.stdout.readline())["ready"]
        yield int(ready.rpartition(":")[2]), register
    finally:
        process.terminate()
        process.wait(15)
        process.stdin.close()
        process.stdout.close()
        register.close()


def _during(port: int, register: Register, size: Size) -> tuple[Seen, dict[int, int]]:
    """Open pages and sign in for as long as the flood lasts."""
    seen, now = Seen(), time.time()
    with register.store.writing() as change:
        session = register.sessions.begin(change, "operator", "traffic", Origin("127.0.0.1"), now)
        browser = register.sessions.remember_browser(change, "", "known", now)
    command = [sys.executable, "-m", "tests.faults.login_flood"]
    flood = subprocess.Popen(
        [*command, str(port), str(RATE[size]), str(SECONDS[size])], stdout=subprocess.PIPE
    )
    assert flood.stdout is not None
    url = f"http://127.0.0.1:{port}"
    coming = threading.Thread(target=_come_in, args=(url, browser, seen, flood))
    coming.start()
    cookies = {"pilotage-session": session}
    with httpx.Client(base_url=url, cookies=cookies, timeout=30) as operator:
        while flood.poll() is None:
            began = time.perf_counter()
            answer = operator.get("/account")
            seen.pages_ms.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text[:200]
            time.sleep(PAUSE_S)
    coming.join()
    tries = json.loads(flood.stdout.read())
    flood.stdout.close()
    return seen, {int(status): count for status, count in tries.items()}


def _come_in(url: str, browser: str, seen: Seen, flood: subprocess.Popen[bytes]) -> None:
    """Sign in as one after the other while the flood lasts."""
    turn = 0
    while flood.poll() is None:
        time.sleep(SIGN_IN_EVERY_S / 2)
        _sign_in(url, turn, browser, seen)
        turn += 1
        time.sleep(SIGN_IN_EVERY_S / 2)


def _sign_in(url: str, turn: int, browser: str, seen: Seen) -> None:
    """Come in as one of three in turn; who is told to wait, or has to fill a code of before, is not shut out by that."""
    name = ("known", "coded", "quiet")[turn % 3]
    # A code is good once: who has used this half minute's does not come again before the next.
    if name == "coded" and turn % 90 != 1:
        return
    address = f"127.0.9.{turn % 200 + 1}" if name == "quiet" else "127.0.7.1"
    form = {"name": name, "password": PASSWORD}
    if name == "coded":
        form["code"] = pyotp.TOTP(SECRET).now()
    cookies = {"pilotage-browser": browser} if name == "known" else {}
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=url, transport=transport, cookies=cookies, timeout=30) as person:
        for _ in range(3):
            answer = person.post("/sign-in", data=form, headers={"Origin": url})
            if answer.status_code not in (429, 503):
                break
            time.sleep(1.0)
    if answer.status_code == 303:
        seen.came_in += 1
    else:
        seen.shut_out.append(f"{name}: {answer.status_code}")
