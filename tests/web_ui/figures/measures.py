"""Each measure of the pages: what is done to them, and what came of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, StorageState
from tests.faults.city import until
from tests.faults.figures import Figure
from tests.web_ui.browser.conftest import READY_MAP, VIEW, until_true
from tests.web_ui.browser.town import Town

LAMPS: Final = 34_000
BROKEN: Final = 40
"""So many lamps break one after the other, each before two screens."""
Say = Callable[[str], None]

WATCH_PIXEL: Final = """number => {
  const layer = document.getElementById('map').looksLayer;
  const [x, y] = layer.pixelOf(number).map((at) => at * devicePixelRatio);
  const read = () => String(layer._context.getImageData(x, y, 1, 1).data);
  window.seen = [];
  let last = read();
  const look = () => {
    const now = read();
    if (now !== last) window.seen.push(Date.now());
    last = now;
    requestAnimationFrame(look);
  };
  look();
}"""
WATCH_COUNT: Final = """() => {
  window.counts = [];
  new MutationObserver(() => window.counts.push(Date.now()))
    .observe(document.getElementById('now-lists'), { childList: true, subtree: true, characterData: true });
}"""
WATCH_TASKS: Final = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) window.tasks.push(each.duration);
  }).observe({ type: 'longtask' });
}"""


@contextmanager
def traffic(town: Town, lamps: int, rate: int, alarms: int = 0) -> Iterator[None]:
    """Have the field report, so many changes a second, once every lamp was heard."""
    words = ["-m", "tests.web_ui.figures.traffic", town.broker.port, lamps, rate, alarms]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


def ms(values: Sequence[float], share: float) -> float:
    """Return a percentile."""
    return sorted(values)[round(share * (len(values) - 1))]


def open_map(context: BrowserContext, town: Town) -> Page:
    """Open the first page, and wait for its map."""
    page = context.new_page()
    page.goto(town.url + "/")
    until_true(page, READY_MAP, 60.0)
    return page


def to_pixel(
    town: Town, context: BrowserContext, lamps: int, changes: int, say: Say
) -> list[Figure]:
    """From a report on the wire to the pixel of a lamp, while a thousand others change each second."""
    page = open_map(context, town)
    page.wait_for_timeout(3_000)
    number = town.number_of("L-0")
    page.evaluate(WATCH_PIXEL, number)
    page.evaluate(WATCH_TASKS)
    sent: list[float] = []
    began = time.monotonic()
    before = cpu_of_tree(browser_pids())
    for count in range(changes):
        sent.append(time.time() * 1000)
        town.report("L-0", level=0 if count % 2 == 0 else 60)
        page.wait_for_timeout(random.uniform(400, 700))
    page.wait_for_timeout(500)
    took = time.monotonic() - began
    cpu = (cpu_of_tree(browser_pids()) - before) / took * 100
    seen, tasks = page.evaluate("window.seen"), page.evaluate("window.tasks")
    delays = [after - at for at in sent if (after := min((s for s in seen if s >= at), default=0))]
    page.close()
    say(f"pixel: {len(delays)} of {changes} seen, cpu of the browser {cpu:.0f} %")
    p50, p99 = ms(delays, 0.5), ms(delays, 0.99)
    return [
        Figure(
            "pixel",
            f"report to pixel, {lamps:,} lamps, 1,000 changes/s",
            "p50 <= 80, p99 <= 150 ms",
            f"p50 {p50:.0f}, p99 {p99:.0f} ms ({len(delays)}/{changes})",
            p50 <= 80 and p99 <= 150 and len(delays) == changes,
        ),
        Figure(
            "tasks",
            f"long tasks in {took:.0f} s of it",
            "0",
            f"{len(tasks)}" + (f", longest {max(tasks):.0f} ms" if tasks else ""),
            not tasks,
        ),
    ]


def to_others(town: Town, browser: Browser, signed_in: StorageState, say: Say) -> list[Figure]:
    """From the report of a broken lamp to the list of alarms on the screens of two operators, in two browsers."""
    contexts = [browser.new_context(viewport=VIEW, storage_state=signed_in) for _ in range(2)]
    pages = [open_map(context, town) for context in contexts]
    for page in pages:
        page.wait_for_selector("html[data-link=live]")
        page.evaluate(WATCH_COUNT)
    delays = []
    for number in range(BROKEN):
        lamp = f"L-{300 + number}"
        before = [page.evaluate("window.counts.length") for page in pages]
        sent = time.time() * 1000
        town.report(lamp, fail=True)
        for page, known in zip(pages, before, strict=True):
            until_true(page, f"window.counts.length > {known}", 10.0)
            delays.append(page.evaluate(f"window.counts[{known}]") - sent)
        pages[0].wait_for_timeout(600)
    for number in range(BROKEN):
        town.report(f"L-{300 + number}", fail=False)
    for context in contexts:
        context.close()
    p50, p99 = ms(delays, 0.5), ms(delays, 0.99)
    say(f"alarm on other screens: {[round(d) for d in delays]} ms")
    reached = f"p50 {p50:.0f}, p99 {p99:.0f} ms"
    return [Figure("others", "alarm to two other screens", "p99 <= 100 ms", reached, p99 <= 100)]


def browser_pids() -> list[int]:
    """Return the processes of the Chromium that we started: our descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])

    def is_ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    found = []
    for pid in parents:
        with suppress(OSError):
            if is_ours(pid) and b"chromium" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def cpu_of_tree(pids: Sequence[int]) -> float:
    """Return the CPU seconds of processes so far."""
    return sum(cpu_of(pid) for pid in pids)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_paint(town: Town, browser: Browser, signed_in: StorageState, say: Say) -> list[Figure]:
    """First paint and the whole map with a cold cache, and what went over the wire for it."""
    paints, maps, weights, plain = [], [], [], []
    for _ in range(5):
        context = browser.new_context(viewport=VIEW, storage_state=signed_in)
        page = context.new_page()
        weight = weigh(page)
        page.goto(town.url + "/")
        until_true(page, READY_MAP, 60.0)
        paints.append(
            page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        maps.append(page.evaluate("performance.getEntriesByName('map-looks')[0].startTime"))
        weights.append(weight() / 1024)
        context.close()
        context = browser.new_context(viewport=VIEW, storage_state=signed_in)
        page = context.new_page()
        weight = weigh(page)
        page.goto(town.url + "/accessibility")
        page.wait_for_timeout(300)
        plain.append(weight() / 1024)
        context.close()
    say(f"paints {[round(p) for p in paints]}, maps {[round(m) for m in maps]} ms")
    paint, whole = median(paints), median(maps)
    return [
        Figure(
            "paint",
            "first paint of the first page, cold cache",
            "<= 500 ms",
            f"{paint:.0f} ms",
            paint <= 500,
        ),
        Figure(
            "map",
            f"the map with {LAMPS:,} lamps, cold cache",
            "<= 1,000 ms",
            f"{whole:.0f} ms",
            whole <= 1000,
        ),
        Figure(
            "weight",
            "the first page with its map, on the wire",
            "<= 150 kB",
            f"{median(weights):.0f} kB",
            median(weights) <= 150,
        ),
        Figure(
            "weight",
            "a page without a map, on the wire",
            "<= 40 kB",
            f"{median(plain):.0f} kB",
            median(plain) <= 40,
        ),
    ]


def weigh(page: Page) -> Callable[[], float]:
    """Count what goes over the wire; the stream counts as far as it was read."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    taken = [0.0]
    session.on("Network.loadingFinished", lambda event: taken.append(event["encodedDataLength"]))
    return lambda: sum(taken)


def frozen(town: Town, context: BrowserContext, say: Say) -> list[Figure]:
    """What the bar says, and when, after each way to fall silent."""
    figures = []
    pids: list[tuple[str, Callable[[], int]]] = [
        ("pages", lambda: town.web_pid),
        ("engine", lambda: town.process.pid if town.process is not None else 0),
    ]
    for name, pid in pids:
        page = live_page(context, town)
        stopped = pid()
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        try:
            late, lost = state_after(page, "late", began), state_after(page, "lost", began)
        finally:
            os.kill(stopped, signal.SIGCONT)
        page.wait_for_selector("html[data-link=live]", timeout=15_000)
        page.close()
        say(f"{name} stopped: late {late:.2f}, lost {lost:.2f} s")
        figures.append(
            Figure(
                "frozen",
                f"{name} stopped (SIGSTOP)",
                "late <= 3.5 s, frozen <= 6.5 s",
                f"{late:.1f}, {lost:.1f} s",
                late <= 3.5 and lost <= 6.5,
            )
        )
    return figures


def killed(town: Town, context: BrowserContext, say: Say) -> list[Figure]:
    """The engine is killed and started again: seen at once, live soon after it listens, nothing reloaded by hand."""
    figures, lates, backs = [], [], []
    for _ in range(3):
        page = live_page(context, town)
        began = time.monotonic()
        town.kill_engine()
        lates.append(state_after(page, "late", began))
        state_after(page, "lost", began)
        pages = town.web_pid
        town.spawn(keep_log=True)
        until(town.answers, "the engine does not come back", 60.0)
        listening = time.monotonic()
        until(lambda pages=pages: town.web_pid != pages, "no new pages", 30.0)  # type: ignore[misc]
        page.wait_for_selector("html[data-link=live]", timeout=30_000)
        backs.append(time.monotonic() - listening)
        page.wait_for_selector("html[data-link=live]", timeout=30_000)
        page.close()
    say(f"killed: late after {lates}, live again after {backs}")
    figures.append(
        Figure(
            "killed",
            "engine killed (SIGKILL) three times",
            "late <= 0.3 s",
            f"{max(lates):.2f} s",
            max(lates) <= 0.3,
        )
    )
    figures.append(
        Figure(
            "restart",
            "live after the engine listens again",
            "<= 2 s",
            f"{max(backs):.1f} s",
            max(backs) <= 2.0,
        )
    )
    return figures


def live_page(context: BrowserContext, town: Town) -> Page:
    """Return a page that is live."""
    page = context.new_page()
    page.goto(town.url + "/accessibility")
    page.wait_for_selector("html[data-link=live]", timeout=20_000)
    page.wait_for_timeout(1_200)
    return page


def state_after(page: Page, state: str, began: float) -> float:
    """Return how long after a moment the bar says something, in seconds."""
    page.wait_for_selector(f"html[data-link={state}]", timeout=20_000)
    return time.monotonic() - began


def room(town: Town, cookie: str, count: int, seconds: float, say: Say) -> list[Figure]:
    """Five hundred operators on one core, with five alarm changes a second and a thousand of equipment."""
    place = urlsplit(town.url)
    web = town.web_pid
    os.sched_setaffinity(web, {0})
    words = [
        "-m",
        "tests.web_ui.figures.operators",
        place.hostname,
        place.port,
        cookie,
        count,
        seconds,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    before, began = cpu_of(web), time.monotonic()
    engine = cpu_of(town.process.pid) if town.process is not None else 0.0
    found = json.loads(process.stdout.readline())
    took = time.monotonic() - began
    load = (cpu_of(web) - before) / took * 100
    piloting = (cpu_of(town.process.pid) - engine) / took * 100 if town.process is not None else 0.0
    process.wait()
    os.sched_setaffinity(web, range(os.cpu_count() or 1))
    say(
        f"room: {found}, pages {load:.0f} %, engine {piloting:.0f} %, operators {found['cpu']} % of a core,"
        f" memory {memory_of(web)} MB"
    )
    return [
        Figure(
            "room",
            f"{count} operators, 1,000 changes/s, 5 alarm changes/s: CPU of the pages",
            "<= 50 % of a core",
            f"{load:.0f} % ({found['lists'] / took:.0f} lists/s, {memory_of(web)} MB)",
            load <= 50 and not found["failed"],
        ),
        Figure(
            "room",
            "frames to them",
            "p99 <= 100 ms",
            f"p50 {found['frame_p50']}, p99 {found['frame_p99']} ms",
            (found["frame_p99"] or 1e9) <= 100,
        ),
        Figure(
            "room",
            "lists to them",
            "p99 <= 250 ms",
            f"p50 {found['list_p50']}, p99 {found['list_p99']} ms",
            (found["list_p99"] or 1e9) <= 250,
        ),
    ]


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024)


def ended(town: Town, cookie: str, count: int, say: Say) -> list[Figure]:
    """The pages are told to end while streams are open."""
    limits = httpx.Limits(max_connections=count + 1)
    with (
        httpx.Client(headers={"Cookie": cookie}, timeout=20, limits=limits) as client,
        _streams(client, town.url, count),
    ):
        pid, began = town.web_pid, time.monotonic()
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "it goes on", 20.0)
        took = time.monotonic() - began
    say(f"SIGTERM with {count} streams: {took:.2f} s")
    return [
        Figure("end", f"SIGTERM with {count} streams open", "<= 1 s", f"{took:.2f} s", took <= 1.0)
    ]


def _is_zombie(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@contextmanager
def _streams(client: httpx.Client, url: str, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            answer = stack.enter_context(client.stream("GET", f"{url}/live"))
            assert answer.status_code == 200
            next(answer.iter_raw())
        yield
