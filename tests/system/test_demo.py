"""`pilotage demo` as a newcomer runs it: devices and engine as processes, watched by clients of our own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import psutil  # type: ignore[import-untyped]
import pytest
from asyncua.sync import Client as OpcUaClient
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Page, sync_playwright
from pymodbus.client import ModbusTcpClient
from tests.processes import still_run
from tests.web_ui.browser.conftest import FLAGS, chromium_path

from pilotage import api

MAIN = "import sys; from pilotage.cli import main; sys.exit(main())"
SPEED = 75.0
DEAD = "lamp-monge-3"
"""A lamp of the demo that burnt out: it hears and does not follow."""
STUCK = "lamp-berbisey-5"
WANTED_LAMPS = 20


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Wire:
    """Hears everything that passes the demo's broker."""

    def __init__(self, port: int) -> None:
        self.said: dict[str, list[Any]] = {}
        self._port = port
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "listener")
        self._client.on_connect = self._subscribe
        self._client.on_message = self._hear

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe("city/#")

    def listen(self) -> None:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        with self._lock, suppress(ValueError):
            self.said.setdefault(message.topic, []).append(json.loads(message.payload))

    def of(self, start: str, end: str) -> dict[str, list[Any]]:
        """Return what was said on the topics that begin and end so."""
        with self._lock:
            return {
                topic: list(said)
                for topic, said in self.said.items()
                if topic.startswith(start) and topic.endswith(end)
            }

    def any(self, start: str, end: str, true: Callable[[Any], bool]) -> bool:
        return any(true(message) for said in self.of(start, end).values() for message in said)


class Demo:
    """A running demo and what it has written."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder / "city"
        self.port = free_port()
        self.output = folder / "output"
        self.socket = self.folder / "var" / "control.sock"
        command = [sys.executable, "-c", MAIN, "demo", "--plain", "--keep", str(self.folder)]
        command += ["--speed", f"{SPEED:g}", "--seed", "1", "--port", str(self.port), *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def until(self, true: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
        end = time.monotonic() + timeout_s
        while not true():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, f"{what}\n{self.text}"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return bool(self.ask(api.GetStatus()))
        except api.NoEngineError:
            return False

    def ask(self, question: Any) -> Any:
        with api.Client(self.socket, 5.0) as client:
            return client.ask(question)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder that the demo names."""
        return subprocess.run(
            [sys.executable, "-c", MAIN, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def processes(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def port_of(self, name: str) -> int:
        """Return the port that the demo has written into its configuration."""
        text = (self.folder / "config.yaml").read_text()
        (found,) = re.findall(rf"(\d+)\s+#.* of its {name} here", text)
        return int(found)

    @contextmanager
    def junctions(self) -> Iterator[Callable[[], list[tuple[str, str, int]]]]:
        """Return what asks the controllers themselves: how far each request is, for whom, whom the junction serves."""
        with OpcUaClient(f"opc.tcp://127.0.0.1:{self.port_of('controllers')}") as client:
            ids = [f"J-0{number}" for number in range(1, 7)]
            names = ("Priority", "Vehicle", "HeldBy")
            nodes = [client.get_node(f"ns=2;s={id_}.{name}") for id_ in ids for name in names]

            def ask() -> list[tuple[str, str, int]]:
                read = [node.read_data_value(raise_on_bad_status=False) for node in nodes]
                values = [data.Value.Value for data in read]
                return list(zip(values[::3], values[1::3], values[2::3], strict=True))

            yield ask

    def contactors(self) -> set[str]:
        """Return what the registers of all cabinets say, and see that the engine says the same."""
        with ModbusTcpClient("127.0.0.1", port=self.port_of("cabinets")) as client:
            words = [
                client.read_input_registers(0, count=1, device_id=unit).registers[0]
                for unit in (1, 2, 3)
            ]
        said = {"open" if word & 2 else "closed" for word in words}
        points = self.ask(api.ListPoints(match="CAB-*.contactor")).points
        assert len(points) == 3
        assert {point.value for point in points} == said
        return said

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


Start = Callable[..., Demo]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    demos: list[Demo] = []

    def start_it(*options: str) -> Demo:
        demos.append(Demo(tmp_path, *options))
        return demos[-1]

    yield start_it
    for demo in demos:
        demo.kill()


def test_four_rules(start: Start) -> None:
    """Each of the four rules acts through the broker, lamps obey, one that does not is told again; Ctrl-C ends it all."""
    demo = start()
    demo.until(demo.answers, "the engine does not answer")
    wire = Wire(demo.port)
    wire.listen()
    try:
        _see_the_rules(demo, wire)
        _see_the_lamps(demo, wire)
        _switch_a_plan(demo, wire)
    finally:
        wire.stop()
    _try_the_commands(demo)
    children = demo.processes()
    # The engine may have some of its own: a reload compiles in one.
    assert len(psutil.Process(demo.process.pid).children()) == 5
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(15) == 0, demo.text
    assert still_run(children) == []
    assert demo.text.endswith(f"The demo has ended. Its files are in {demo.folder}.\n")
    assert "Traceback" not in demo.text
    log = (demo.folder / "engine.log").read_text().splitlines()
    # On a machine that does much else, the event loop is held now and then, and says so; an order that waits for its
    # device's turn (a device gets no more than its rate) is given up at the end, and that is said too.
    usual = (" INFO ", "holds the event loop", "orders were still under way")
    unusual = [line for line in log if not any(words in line for words in usual)]
    assert unusual == []


def _see_the_rules(demo: Demo, wire: Wire) -> None:
    with demo.junctions() as junctions:
        demo.until(
            lambda: any(
                status == "activated" and vehicle.startswith("bus-") and held_by == 1
                for status, vehicle, held_by in junctions()
            ),
            "no bus has got its green",
        )
    assert demo.contactors() == {"closed"}
    demo.until(
        lambda: wire.any("city/lamp/", "/set", lambda m: m["level"] == 30.0),
        "no quiet street was dimmed",
    )
    demo.until(
        lambda: (
            "camera" in str(wire.of("city/camera/", "/preset"))
            and wire.any("city/camera/", "/state", lambda m: m["preset"].startswith("bearing-"))
            and "Incident opened: Intrusion in " in demo.text
        ),
        "no camera has turned to an intrusion",
    )
    demo.until(
        lambda: (
            wire.any("city/route/", "/treatment", lambda m: m["treatment"] == "preventive_salt")
            and "Snow and ice plan, level 0 → 1, because" in demo.text
        ),
        "the snow plan was not raised",
    )
    assert "Dim quiet streets to 30 % at night, because quiet flow is " in demo.text
    assert "Full light while somebody walks there, because pedestrian detected. 8 lamps" in (
        demo.text
    )
    assert "Green for late buses, because delay is " in demo.text


def _see_the_lamps(demo: Demo, wire: Wire) -> None:
    followed = {
        topic.split("/")[2]
        for topic, said in wire.of("city/lamp/", "/state").items()
        if any(message["level"] == 30.0 for message in said)
    }
    assert len(followed) >= WANTED_LAMPS
    assert not followed & {DEAD, STUCK}
    times_told = Counter(m["level"] for m in wire.of(f"city/lamp/{STUCK}", "/set").popitem()[1])
    assert times_told[30.0] >= 3
    demo.until(lambda: f"{STUCK}.level was told" in demo.text, "no alarm of the stuck lamp")
    alarms = [a.text for a in demo.ask(api.ListAlarms(all=True)) if a.title == "not-following"]
    assert len([text for text in alarms if text.startswith(DEAD)]) == 1
    assert len([text for text in alarms if text.startswith(STUCK)]) == 1


def _try_the_commands(demo: Demo) -> None:
    """What the demo proposes for a second terminal works in the folder that it names."""
    assert f"cd {demo.folder}" in demo.text
    status = demo.run("status")
    assert "1,498 points" in status.stdout, status.stderr
    point = "seg-monge.lights.level"
    done = demo.run("override", point, "80 %", "--for", "30min", "--reason", "market tomorrow")
    assert done.returncode == 0, done.stderr
    demo.until(lambda: "Rue Monge: 8 lamps are told 80 %" in demo.text, "the lamps were not told")
    explained = demo.run("explain", point)
    assert "market tomorrow" in explained.stdout, explained.stderr
    assert "Snow and ice plan, level 1 → 2" in demo.text
    plan = demo.run("plan", "snow", "1", "--reason", "no ice there")
    assert plan.returncode == 0, plan.stderr
    demo.until(lambda: "Snow and ice plan, level 2 → 1" in demo.text, "the plan was not told")
    assert demo.run("reload").returncode == 0


def _switch_a_plan(demo: Demo, wire: Wire) -> None:
    """A plan that is held on its page brightens the lamps, and the page shows each as confirmed by the equipment."""
    (link,) = re.findall(r"http://\S+/sign-in/link/\S+", demo.text)
    address = link.partition("/sign-in/")[0]
    told_before = len(_orders(wire))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        page = browser.new_page()
        page.goto(link)
        page.click("main button")
        _hold_the_button(page, address, "snow", 2)
        page.get_by_role("link", name=re.compile("confirm")).click()
        rows = _read_until_confirmed(page)
        browser.close()
    lamps = {point: row for point, row in rows.items() if point.startswith("lamp-")}
    followed = {point for point, (standing, *_) in lamps.items() if standing == "confirmed"}
    assert f"{DEAD}.level" not in followed
    assert len(lamps) >= len(followed) >= WANTED_LAMPS
    assert all(cells[1] == "100 %" for _, *cells in lamps.values()), "what is wanted"
    # The engine and its pages say so; the wire says the same.
    assert len(_orders(wire)) > told_before
    demo.until(
        lambda: {_level_said(wire, point.partition(".")[0]) for point in followed} == {100.0},
        "the lamps do not say on the wire what the page says of them",
    )

    with httpx.Client(base_url=address) as other:
        assert other.post(link, headers={"Origin": address}).status_code == 410, "a link works once"
        assert other.get("/").headers["location"].startswith("/sign-in")


def _level_said(wire: Wire, lamp: str) -> float:
    """Return what a lamp said last; it is confirmed a little before it has reached its level."""
    (said,) = wire.of(f"city/lamp/{lamp}/", "/state").values()
    return float(said[-1]["level"])


def _orders(wire: Wire) -> list[Any]:
    return [m for said in wire.of("city/lamp/", "/set").values() for m in said]


def _hold_the_button(page: Page, url: str, plan: str, level: int) -> None:
    """Hold the button of a plan; the city is quick, and what was seen may have changed: then the page asks once more."""
    page.goto(f"{url}/plans/{plan}?level={level}")
    page.wait_for_selector("html[data-link=live]")
    button = page.locator(f"#form-{plan} button.hold")
    button.focus()
    page.keyboard.down("Enter")
    page.wait_for_timeout(1_000)
    page.keyboard.up("Enter")
    page.wait_for_url(f"**/plans/{plan}")
    asked = page.locator("[name=confirmed][value=page]")
    answered = page.locator(".notice-done").or_(asked).first
    answered.wait_for(state="attached")
    while asked.count():
        with page.expect_navigation():
            page.locator(f"#form-{plan} button.main").click()
        answered.wait_for(state="attached")
    assert page.locator(".notice-done").count(), page.locator("main").inner_text()


def _read_until_confirmed(page: Page) -> dict[str, list[str]]:
    """Return the rows of what a plan holds by point, once nothing is under way: how it is, and the cells of the row."""
    end = time.monotonic() + 20
    while True:
        rows: list[list[str]] = page.locator("tr[data-point]").evaluate_all(
            "rows => rows.map(r => [r.dataset.point, r.dataset.standing, ...[...r.cells].slice(1).map(c => c.innerText)])"
        )
        if len(rows) > WANTED_LAMPS and all(row[1] != "waiting" for row in rows):
            return {row[0]: row[1:] for row in rows}
        assert time.monotonic() < end, rows
        page.wait_for_timeout(50)


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_while_it_starts(self, start: Start, number: signal.Signals) -> None:
        """A signal during the start ends it cleanly too."""
        demo = start()
        demo.until(lambda: "Ctrl-C ends it." in demo.text, "nothing was said")
        demo.process.send_signal(number)
        assert demo.process.wait(20) == 0, demo.text
        assert "Traceback" not in demo.text

    def test_engine_gone(self, start: Start) -> None:
        """When the engine ends by itself, the demo says so with its last words, and exits with 1."""
        demo = start()
        demo.until(demo.answers, "the engine does not answer")
        children = demo.processes()
        os.kill(demo.ask(api.GetStatus()).pid, signal.SIGKILL)
        assert demo.process.wait(20) == 1
        assert "error: the engine has ended by itself" in demo.text
        assert "is in service" in demo.text
        assert still_run(children) == []

    def test_killed(self, start: Start) -> None:
        """Even when the demo is killed, none of its processes stays."""
        demo = start()
        demo.until(demo.answers, "the engine does not answer")
        children = demo.processes()
        demo.process.kill()
        assert still_run(children) == []


class TestFolder:
    def test_other_folder(self, start: Start, tmp_path: Path) -> None:
        """A folder that holds something else is left alone."""
        (tmp_path / "city").mkdir()
        (tmp_path / "city" / "thesis.txt").write_text("precious")
        demo = start()
        assert demo.process.wait(30) == 1
        assert "holds something else than a demo" in demo.text
        assert [p.name for p in demo.folder.iterdir()] == ["thesis.txt"]

    def test_again(self, start: Start) -> None:
        """A demo ends by itself when it was told how long to play; a second one in its folder uses its rules as they were changed."""
        first = start("--minutes", "0.02")
        assert first.process.wait(30) == 0, first.text
        rules = first.folder / "rules" / "lighting.yaml"
        rules.write_text("# mine\n" + rules.read_text())
        second = start("--minutes", "0.02")
        assert second.process.wait(30) == 0, second.text
        assert rules.read_text().startswith("# mine\n")


def test_in_a_terminal(tmp_path: Path) -> None:
    """In a terminal there is a picture; Ctrl-C leaves the terminal as it was."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
    command = [sys.executable, "-c", MAIN, "demo", "--keep", str(tmp_path / "city")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # it gets a Ctrl-C of its own
    )
    os.close(slave)
    seen = b""
    try:
        while b"Rue Monge" not in seen or b"what happens" not in seen:
            seen += _read(master)
        os.write(master, b"\x03")
        while more := _read(master):
            seen += more
        assert process.wait(15) == 0, seen
    finally:
        process.kill()
        process.wait()
        os.close(master)
    picture, _, after = seen.rpartition(b"\x1b[?1049l")
    assert b"\x1b[?1049h" in picture
    assert b"The demo has ended." in after
    assert b"Traceback" not in seen


def _read(master: int) -> bytes:
    """Return what a terminal shows next; nothing when its program has ended."""
    assert select.select([master], [], [], 30)[0], "nothing more is shown"
    try:
        return os.read(master, 65_536)
    except OSError:  # the other end is closed
        return b""


def test_port_in_use(start: Start) -> None:
    """A port that is taken is said, with its mend."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo = start("--port", str(taken.getsockname()[1]))
        assert demo.process.wait(30) == 1
    assert "does not start on port" in demo.text
    assert "mend: choose another --port" in demo.text
