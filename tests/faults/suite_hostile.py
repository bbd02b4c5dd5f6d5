"""A corpus of texts that mean harm: every one is refused with its place, and none costs more than a moment (G14).

Each line of `hostile/*.jsonl` is one case: `family`, `door` (by which way it comes in) and `text`, or `parts` where the same
piece comes many times: a list of texts and of [text, times]; `hex` for bytes that are no text.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.faults.figures import Figure, Size

from pilotage.adapter import ConnectionSettings
from pilotage.core.engine import Engine
from pilotage.language.rules import load_rules
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec
from pilotage.model.messages import Reading
from pilotage.runtime.config import check_connections, check_names, read_settings
from pilotage.runtime.health import Health
from pilotage.runtime.inbox import ConnectionDoor, Inbox
from pilotage.runtime.inventory import read_inventory
from pilotage.runtime.plugins import Catalogue, load_plugins
from pilotage.runtime.workshop import PlannedSite
from pilotage.testing.adapters import FixedSite
from pilotage_mqtt.binding import bind
from pilotage_mqtt.intake import Intake

GOALS = ("G14",)
CORPUS: Final = Path(__file__).parent / "hostile"
LEAST: Final = 1_000
MOST_S: Final = 0.050
HANG_S: Final = 5.0  # of the processor, on a machine that does ten other things
TRIES: Final = 3
SITE: Final = "site: {name: Dijon, time_zone: Europe/Paris, position: [47.322, 5.041]}\n"
NOW: Final = 1_770_000_000.0

ZONE: Final = "    for_each: {z: {kind: building_zone}}\n"
RULE: Final = "rules:\n  r:\n    title: t\n    owner: o\n"
HOLD: Final = "    hold: [{set: z.climate, to: eco, priority: saving}]\n"
LAMPS: Final = 'inventory: [{file: lamps.csv, kind: lamp, id: "L-{number}", values: {position: ["{lat}", "{lon}"]}}]\n'
SHAPES: Final = 'inventory: [{file: shapes.geojson, kind: lamp, id: "{@id}", values: {position: ["{@latitude}", "{@longitude}"]}}]\n'


@dataclass(frozen=True, slots=True)
class Case:
    """One text, and by which way it comes in."""

    name: str
    family: str
    door: str
    data: bytes

    @property
    def text(self) -> str:
        """The case as a text."""
        return self.data.decode("utf-8")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a case: whether it was refused, and whether the refusal names its place."""

    refused: bool
    placed: bool


def cases() -> Iterator[Case]:
    """Yield the corpus in order."""
    for file in sorted(CORPUS.glob("*.jsonl")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            yield case_of(f"{file.name}:{number}", json.loads(line))


def case_of(name: str, row: Mapping[str, Any]) -> Case:
    """Return a case as its line has it."""
    if "hex" in row:
        data = bytes.fromhex(row["hex"])
    else:
        parts = row.get("parts") or [row["text"]]
        data = "".join(p if isinstance(p, str) else p[0] * p[1] for p in parts).encode(
            "utf-8", "surrogatepass"
        )
    return Case(name, row["family"], row["door"], data)


# ── by which way it comes in ─────────────────────────────────────────────────────────────────


@cache
def catalogue() -> Catalogue:
    """Return everything that the plugins bring."""
    return load_plugins()


def _judged(findings: list[Finding]) -> Answer:
    errors = [finding for finding in findings if finding.is_error]
    placed = all(f.at.file and f.at.line >= 1 and f.at.column >= 1 for f in errors)
    return Answer(bool(errors), placed)


def _rules(data: bytes) -> Answer:
    """Read it as a rule file."""
    known = catalogue()
    _, found = load_rules({"case.yaml": data}, known.kinds, known.functions, known.calls)
    return _judged(found)


def _condition(data: bytes) -> Answer:
    """Read it as the condition of a rule."""
    condition = json.dumps(data.decode(), ensure_ascii=False)
    return _rules(f"{RULE}{ZONE}    while: {condition}\n{HOLD}".encode())


def _template(data: bytes) -> Answer:
    """Read it as a template of a note."""
    template = json.dumps(data.decode(), ensure_ascii=False)
    step = f"    when: every 1 min\n    do: [{{note: {{template: {template}}}}}]\n"
    return _rules(f"{RULE}{ZONE}{step}".encode())


def _config(data: bytes) -> Answer:
    """Read it as `config.yaml`, with its connections and its inventory."""
    return _site(data, {})


def _connection(data: bytes) -> Answer:
    """Read it as the options of a connection over MQTT, in YAML."""
    body = b"".join(b"    " + line for line in data.splitlines(keepends=True))
    text = f"{SITE}inventory: [{{z-1: {{kind: building_zone}}}}, {{z-2: {{kind: building_zone}}}}]\nconnections:\n  field:\n    adapter: mqtt\n    host: 127.0.0.1\n".encode()
    return _site(text + body + b"\n", {})


def _inventory(data: bytes) -> Answer:
    """Read it as an inventory file."""
    return _site(f"{SITE}inventory: [case.yaml]\n".encode(), {"case.yaml": data})


def _csv(data: bytes) -> Answer:
    """Read it as a table of lamps."""
    return _site((SITE + LAMPS).encode(), {"lamps.csv": data})


def _geojson(data: bytes) -> Answer:
    """Read it as shapes of lamps."""
    return _site((SITE + SHAPES).encode(), {"shapes.geojson": data})


def _site(config: bytes, files: Mapping[str, bytes]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="ph") as name:
        folder = Path(name)
        (folder / "config.yaml").write_bytes(config)
        for file, data in files.items():
            (folder / file).write_bytes(data)
        read = read_settings(folder / "config.yaml", {})
        found, known = list(read.findings), catalogue()
        if read.settings is not None:
            inventory = read_inventory(read.settings.inventory, folder, known.kinds)
            found += inventory.findings
            view = PlannedSite(read.settings, known, inventory.entities)
            found += check_names(read.settings, [p.name for p in known.plugins], known.packs)
            found += check_connections(read.settings, known.adapters, view)
    return _judged(found)


class _Clock:
    """A time that stands."""

    def now(self) -> float:
        """Return the moment."""
        return NOW

    def monotonic(self) -> float:
        """Return the same."""
        return NOW

    def delay(self, seconds: float) -> float:
        """Return the same seconds."""
        return seconds


class _Site(FixedSite):
    """A city whose handles are an engine's cells, as the service gives them out."""

    def __init__(self, engine: Engine, zone: EntitySpec) -> None:
        super().__init__(catalogue().kinds.values(), [zone])
        self._cells = engine.cells

    def point(self, id: str) -> Any:  # noqa: A002
        """Return a cell."""
        return self._cells.get(id)


@cache
def _field() -> tuple[Inbox, Health, Intake]:
    """Return the way of a message into the engine, for one zone of a building."""
    known = catalogue()
    program, _ = load_rules({}, known.kinds, known.functions, known.calls)
    zone = EntitySpec("z", "building_zone")
    engine = Engine(program, [zone], NOW)
    health = Health()
    inbox = Inbox(health)
    door = ConnectionDoor("field", inbox, _Clock(), health, engine.entities)
    points = {
        "kind": "building_zone",
        "read": [{"topic": "b/{id}/co2", "point": "co2", "path": "$.co2", "time": "$.time"}],
    }
    settings = ConnectionSettings(
        "field", "mqtt", {"host": "127.0.0.1", "points": [points]}, "c:1:1"
    )
    plan, problems = bind(settings, _Site(engine, zone))
    assert not problems, problems
    return inbox, health, Intake(plan, door, "field")


def _payload(data: bytes) -> Answer:
    """Take it as what a sensor says; refused is what gives no good value. The place is the topic that is counted."""
    inbox, health, intake = _field()
    inbox.take(LEAST)
    before = dict(health.counters)
    intake.take("b/z/co2", data)
    good = [i for i in inbox.take(LEAST).others if isinstance(i, Reading) and i.quality.is_usable]
    return Answer(not good, dict(health.counters) != before)


DOORS: Final[dict[str, Callable[[bytes], Answer]]] = {
    "rules": _rules,
    "condition": _condition,
    "template": _template,
    "config": _config,
    "connection": _connection,
    "inventory": _inventory,
    "csv": _csv,
    "geojson": _geojson,
    "payload": _payload,
}


# ── the suite ────────────────────────────────────────────────────────────────────────────────


def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Bring every case in; the short form takes every tenth, and looks for hangs only."""
    every = list(cases())
    some = every[::10] if size is Size.SHORT else every
    slow: list[tuple[float, str]] = []
    let_in, nowhere, raised = [], [], []
    gc.collect()
    for case in some:
        try:
            answer, took = _timed(case, TRIES if size is Size.LONG else 1)
        except Exception as error:
            raised.append(f"{case.name} {type(error).__name__}")
            continue
        slow.append((took, case.name))
        if not answer.refused:
            let_in.append(case.name)
        elif not answer.placed:
            nowhere.append(case.name)
    longest, name = max(slow)
    most = MOST_S if size is Size.LONG else HANG_S
    say(f"{len(some)} cases of {len(every)}; longest {longest * 1e3:.1f} ms ({name})")
    families = len(Counter(case.family for case in every))
    what = f"{len(some):,} hostile texts of {families} families: "
    return [
        Figure("G14", "hostile texts that are committed", f">= {LEAST:,}", f"{len(every):,}", len(every) >= LEAST),
        Figure("G14", f"{what}let in", "0", _named(let_in), not let_in),
        Figure("G14", f"{what}refused without a place", "0", _named(nowhere), not nowhere),
        Figure("G14", f"{what}that make something raise", "0", _named(raised), not raised),
        Figure("G14", f"{what}longest, of the processor", f"< {most * 1e3:.0f} ms", f"{longest * 1e3:.1f} ms ({name})", longest < most),
    ]  # fmt: skip


def _named(names: list[str]) -> str:
    return "0" if not names else f"{len(names)}: {', '.join(names[:5])}"


def _timed(case: Case, tries: int) -> tuple[Answer, float]:
    """Return the answer and the shortest of some times; a slow one is tried again, since caches and collectors are no hostility."""
    best = float("inf")
    for _ in range(tries):
        began = time.process_time()
        answer = DOORS[case.door](case.data)
        best = min(best, time.process_time() - began)
        if best < MOST_S / 2:
            break
    return answer, best
