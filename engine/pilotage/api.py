"""The one door to a running engine: typed questions and answers over a local socket.

The command line, the web process and plugins' panels use it alike. A question is one line of JSON with its `method`, the
answer one line with `ok` or `error`; `Subscribe` is answered with a line per decision. The socket belongs to the engine's
user alone; an order of a person (an override, a plan) is answered once its decision is on disk.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, get_args

import msgspec

VERSION: Final = 1
MAX_QUESTION_BYTES: Final = 64 * 1024
TIMEOUT_S: Final = 30.0

Answer = TypeVar("Answer")

# ── answers ──────────────────────────────────────────────────────────────────────────────────


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process of an isolated adapter: its id (0 for none), resident and allowed bytes, how often it was started again."""

    pid: int = 0
    memory: int = 0
    limit: int = 0
    restarts: int = 0


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection to devices is; `state` is stopped, connecting, up, degraded, down or disabled."""

    name: str
    adapter: str
    state: str
    detail: str = ""
    since: float = 0.0
    next_try: float | None = None
    failures: int = 0
    points: int = 0
    heard_at: float = 0.0
    process: Process | None = None


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What runs, since when, and how much of it; times are seconds since 1970."""

    api: int
    version: str
    site: str
    pid: int
    started: float
    now: float
    speed: float
    loop: str
    rules: int
    entities: int
    points: int
    ticks: int
    decisions: int
    waiting: int
    sound: bool
    program: str = ""
    connections: list[Connection] = []


class HealthFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now, and what to do about it."""

    code: str
    severity: str
    text: str
    mend: str = ""
    since: float = 0.0


class HealthReport(msgspec.Struct, frozen=True):
    """Everything that is wrong now, oldest first, and the counters."""

    sound: bool
    findings: list[HealthFinding]
    counters: dict[str, int]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point and its value now, as plain JSON; None is unknown.

    `quality` is good, uncertain, bad, stale or missing; `time` is the source time; `last` the last value that was known.
    """

    id: str
    entity: str
    kind: str
    type: str
    unit: str = ""
    access: str = "reported"
    privacy: str = "internal"
    value: Any = None
    quality: str = "missing"
    time: float | None = None
    age_s: float | None = None
    last: Any = None
    text: str = ""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants of a point, at a level of its priority array."""

    owner: str
    level: int
    value: Any = None
    reason: str = ""
    since: float | None = None
    until: float | None = None


class PointDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A point, what is wanted of it, and all demands on it, the most urgent first."""

    point: Point
    wanted: Any = None
    winner: str = ""
    demands: list[Demand] = []


class PointList(msgspec.Struct, frozen=True):
    """A page of points in order of id; `next` goes into the following question's `after`, empty at the end."""

    points: list[Point]
    next: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and how many of its instances are in which state."""

    name: str
    title: str = ""
    owner: str = ""
    file: str = ""
    enabled: bool = True
    mode: str = "live"
    instances: int = 0
    states: dict[str, int] = {}


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a rule, its state, since when, and the clauses that decided."""

    id: str
    state: str
    since: float | None = None
    why: str = ""


class RuleDetail(msgspec.Struct, frozen=True):
    """A rule with its instances, in order of id."""

    rule: Rule
    instances: list[Instance]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan and its level now; `asks` are open questions to people."""

    name: str
    title: str = ""
    level: int = 0
    level_name: str = ""
    levels: list[str] = []
    by: str = ""
    reason: str = ""
    since: float | None = None
    until: float | None = None
    asks: list[str] = []


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm in one of the states of ISA-18.2."""

    id: str
    title: str = ""
    severity: str = ""
    state: str = ""
    since: float | None = None
    until: float | None = None
    person: str = ""
    text: str = ""


class DecisionList(msgspec.Struct, frozen=True):
    """Decisions as the journal holds them, in order; `next` goes into the following question's `after`, 0 at the end."""

    decisions: list[dict[str, Any]]
    next: int = 0


class PastValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a point had from `time` on; `still` when no reading gave it, `value` None while it was unknown."""

    time: float
    value: Any = None
    quality: str = "missing"
    still: bool = False


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time: `known` is the share (0 to 1) of it in which the value was known, the mean is weighted by time.

    `shares` is for points that are no numbers: the share of the time by value.
    """

    start: float
    width_s: float
    known: float
    count: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    shares: dict[str, float] = {}


class PointHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a point: `values` in order of time, or `rollups` when they were asked for."""

    point: str
    type: str
    unit: str
    privacy: str
    policy: str
    since: float
    until: float
    values: list[PastValue] = []
    rollups: list[Rollup] = []


class RecordedGroup(msgspec.Struct, frozen=True, array_like=True):
    """Points of a kind that are recorded alike, by which right, and how many they are."""

    kind: str
    point: str
    privacy: str
    policy: str
    keep_s: float
    purpose: str
    basis: str
    points: int


class RetentionProof(msgspec.Struct, frozen=True, array_like=True):
    """How many rows of a class were older than their limit when that was looked at last."""

    what: str
    privacy: str
    limit_s: float
    older: int
    oldest: float | None
    time: float


class HistoryGap(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of time in which nobody recorded, and why."""

    since: float
    until: float
    why: str


class HistoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the history holds; `readings` and `recorded` count since the engine's start, None when none runs."""

    file: str
    bytes: int
    blocks: int
    samples: int
    segments: int
    rollups: int
    oldest: float | None
    written: float
    readings: int | None = None
    recorded: int | None = None
    groups: list[RecordedGroup] = []
    proofs: list[RetentionProof] = []
    gaps: list[HistoryGap] = []


class Explanation(msgspec.Struct, frozen=True):
    """Why something is as it is: for people, and for programs."""

    text: str
    details: Any = None


class Receipt(msgspec.Struct, frozen=True):
    """What became of an order; `decision` is the number of the decision that holds it, on disk."""

    taken: bool
    text: str
    decision: int


class Reloaded(msgspec.Struct, frozen=True):
    """What came of a reload: when `adopted` is false, the old rules go on and `findings` say why."""

    adopted: bool
    findings: list[str]
    rules: int = 0
    took_s: float = 0.0


class Recorded(msgspec.Struct, frozen=True):
    """The audit has it, on disk, in a row of this number."""

    row: int


class Erased(msgspec.Struct, frozen=True):
    """So many rows of the audit named the person, and do so no more."""

    rows: int


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who had what done, when and why; `people` is what is told of people, `erased` what was."""

    partition: str
    number: int
    time: float
    kind: str
    action: str
    subject: str = ""
    rule: str = ""
    identity: str = ""
    decision: int = 0
    origin: str = ""
    value: Any = None
    detail: dict[str, Any] = {}
    people: dict[str, str] = {}
    erased: list[str] = []


class Done(msgspec.Struct, frozen=True):
    """The engine does it."""

    text: str = ""


# ── questions and orders ─────────────────────────────────────────────────────────────────────


class Question(
    msgspec.Struct,
    Generic[Answer],
    tag_field="method",
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """Something to ask of the engine; the parameter is the type of its answer.

    `via` says by which way a person asks, for the audit: `cli`, or `web ADDRESS`.
    """

    via: str = ""


class GetStatus(Question[EngineStatus], tag="status", frozen=True):
    """What runs?"""


class GetHealth(Question[HealthReport], tag="health", frozen=True):
    """What is wrong?"""


class ListPoints(Question[PointList], tag="points", frozen=True, kw_only=True):
    """The values of points; `match` is a pattern such as `seg-*.lights.level`, the others filter exactly."""

    match: str = "*"
    kind: str = ""
    quality: str = ""
    after: str = ""
    limit: int = 1000


class GetPoint(Question[PointDetail], tag="point", frozen=True, kw_only=True):
    """A point with its priority array."""

    point: str


class ListRules(Question[list[Rule]], tag="rules", frozen=True, kw_only=True):
    """All rules."""


class GetRule(Question[RuleDetail], tag="rule", frozen=True, kw_only=True):
    """A rule with its instances."""

    rule: str


class ListPlans(Question[list[Plan]], tag="plans", frozen=True):
    """All plans."""


class ListAlarms(Question[list[Alarm]], tag="alarms", frozen=True, kw_only=True):
    """The alarms that are not in their normal state, or all."""

    all: bool = False


class ListDecisions(Question[DecisionList], tag="decisions", frozen=True, kw_only=True):
    """Decisions of the journal from `since` on and before `until`, seconds since 1970."""

    since: float | None = None
    until: float | None = None
    after: int = 0
    limit: int = 1000


class ExplainPoint(Question[Explanation], tag="explain_point", frozen=True, kw_only=True):
    """Why does a point have the value that is wanted of it?"""

    point: str


class ExplainRule(Question[Explanation], tag="explain_rule", frozen=True, kw_only=True):
    """Why is an instance of a rule in its state?"""

    rule: str
    instance: str = ""


class HistoryOf(Question[PointHistory], tag="history", frozen=True, kw_only=True):
    """What was recorded of a point from `since` on and before `until` (the last day unless given), seconds since 1970.

    At most `most` values, no extreme left out; with `every` (`1min`, `15min`, `1h` or `1d`) roll-ups instead.
    """

    point: str
    since: float | None = None
    until: float | None = None
    every: str = ""
    most: int = 2_000


class ValueAt(Question[PastValue], tag="value_at", frozen=True, kw_only=True):
    """What was the value of a point at a time, in seconds since 1970?"""

    point: str
    time: float


class GetHistoryStatus(Question[HistoryStatus], tag="history_status", frozen=True):
    """What does the history hold, by which policies, and how much room does it take?"""


class EraseHistory(Question[Done], tag="erase_history", frozen=True, kw_only=True):
    """Erase an entity's points from the history, and wherever it is the value of another point."""

    entity: str
    person: str
    reason: str


class SetOverride(Question[Receipt], tag="override", frozen=True, kw_only=True):
    """Take a point at level 8 for `for_s` seconds; a text such as `30 %` is read in the point's unit."""

    point: str
    value: Any
    for_s: float
    person: str
    reason: str


class ReleaseOverride(Question[Receipt], tag="release", frozen=True, kw_only=True):
    """Give an override back."""

    point: str
    person: str


class SetPlan(Question[Receipt], tag="set_plan", frozen=True, kw_only=True):
    """Set a plan's level by hand; 0 ends it, None gives it back to its conditions."""

    plan: str
    level: int | None
    person: str
    reason: str
    role: str = ""
    parameters: dict[str, Any] | None = None


class AnswerPlan(Question[Receipt], tag="answer", frozen=True, kw_only=True):
    """Answer what a plan asks: `confirm`, `review` or `checklist:LEVEL:INDEX`."""

    plan: str
    question: str
    yes: bool
    person: str
    role: str = ""


class ActOnAlarm(Question[Receipt], tag="alarm", frozen=True, kw_only=True):
    """Acknowledge, reset, shelve, unshelve, out_of_service or return_to_service; suspending takes `for_s`."""

    alarm: str
    action: str
    person: str
    for_s: float | None = None
    reason: str = ""
    role: str = ""


class AcknowledgeNotice(Question[Receipt], tag="acknowledge_notice", frozen=True, kw_only=True):
    """Say that a notification was seen."""

    notice: str
    person: str


class ActOnIncident(Question[Receipt], tag="incident", frozen=True, kw_only=True):
    """Close an incident, or write a note on it."""

    incident: str
    action: str
    person: str
    text: str = ""


class ListAudit(Question[list[AuditRow]], tag="audit", frozen=True, kw_only=True):
    """The newest rows of the audit that fit, oldest first; `entity` takes its points in, times are seconds since 1970."""

    person: str = ""
    entity: str = ""
    rule: str = ""
    kind: str = ""
    since: float | None = None
    until: float | None = None
    last: int = 100


class RecordAudit(Question[Recorded], tag="record_audit", frozen=True, kw_only=True):
    """Somebody came in, went, or was let in: a row of the audit, answered once it is on disk.

    Only the engine's own user may. `action` is one of `pilotage.runtime.audit.desk.ACCESS`; `about` is another person, and
    `detail` names nobody.
    """

    action: str
    person: str
    about: str = ""
    reason: str = ""
    detail: dict[str, str | int | float | bool] = {}


class EraseFromAudit(Question[Erased], tag="erase_from_audit", frozen=True, kw_only=True):
    """Erase what the audit tells of a person; the chain of rows stays whole. Only the engine's own user may."""

    erase: str
    person: str
    reason: str


class Reload(Question[Reloaded], tag="reload", frozen=True):
    """Read configuration and rules anew; all of them, or the old ones go on."""


class Stop(Question[Done], tag="stop", frozen=True):
    """Stop the engine."""


class Subscribe(Question[Done], tag="subscribe", frozen=True):
    """Send every decision from now on."""


AnyQuestion = (
    GetStatus
    | GetHealth
    | ListPoints
    | GetPoint
    | ListRules
    | GetRule
    | ListPlans
    | ListAlarms
    | ListDecisions
    | ExplainPoint
    | ExplainRule
    | HistoryOf
    | ValueAt
    | GetHistoryStatus
    | EraseHistory
    | SetOverride
    | ReleaseOverride
    | SetPlan
    | AnswerPlan
    | ActOnAlarm
    | AcknowledgeNotice
    | ActOnIncident
    | ListAudit
    | RecordAudit
    | EraseFromAudit
    | Reload
    | Stop
    | Subscribe
)

# ── errors ───────────────────────────────────────────────────────────────────────────────────


class ApiError(Exception):
    """The engine refused a question: a code that stays, what is wrong, and the mend."""

    def __init__(self, code: str, text: str, mend: str = "") -> None:
        self.code = code
        self.text = text
        self.mend = mend
        super().__init__(f"{text}\n   mend: {mend}" if mend else text)


class NoEngineError(ApiError):
    """Nobody answers at the socket."""

    def __init__(self, path: Path, why: str = "") -> None:
        self.path = path
        because = f" ({why})" if why else ""
        super().__init__(
            "no-engine", f"no engine answers at {path}{because}", "start one with `pilotage run`"
        )


# ── the wire ─────────────────────────────────────────────────────────────────────────────────

_encode: Final = msgspec.json.Encoder().encode
_RESPONSE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_QUESTION: Final = msgspec.json.Decoder(AnyQuestion)


def encode_question(question: Question[Any]) -> bytes:
    """Return a question as its line."""
    return _encode(question) + b"\n"


def decode_question(line: bytes) -> AnyQuestion:
    """Return the question that a line asks.

    Raises:
        ApiError: It is no question of this interface; the text says where it differs.
    """
    try:
        question: AnyQuestion = _QUESTION.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError("bad-question", f"not understood: {error}") from error
    return question


def encode_answer(answer: Any) -> bytes:
    """Return an answer as its line."""
    return _encode({"ok": answer}) + b"\n"


def encode_error(error: ApiError) -> bytes:
    """Return a refusal as its line."""
    return _encode({"error": {"code": error.code, "text": error.text, "mend": error.mend}}) + b"\n"


def decode_answer(question: Question[Answer], line: bytes) -> Answer:
    """Return the answer to a question, of its type.

    Raises:
        ApiError: The engine refused the question.
    """
    return _decoded(line, get_args(type(question).__orig_bases__[0])[0])  # type: ignore[attr-defined,no-any-return]


def _decoded(line: bytes, type_: Any) -> Any:
    try:
        response = _RESPONSE.decode(line)
        if "error" in response:
            raise ApiError(**msgspec.json.decode(response["error"], type=dict[str, str]))
        return msgspec.json.decode(response["ok"], type=type_)
    except (msgspec.MsgspecError, KeyError) as error:
        raise ApiError(
            "bad-answer",
            f"the engine's answer is not understood: {error}",
            "use the same version of pilotage on both sides",
        ) from error


# ── clients ──────────────────────────────────────────────────────────────────────────────────


class Client:
    """Asks a running engine, one question after the other; a context manager, and it connects by itself."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, via: str = "") -> None:
        """Name the socket; `via` is told with each question that does not say its own."""
        self._path = path
        self._timeout_s = timeout_s
        self._via = via
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def __enter__(self) -> Client:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def ask(self, question: Question[Answer]) -> Answer:
        """Return the engine's answer.

        Raises:
            NoEngineError: No engine answers at the socket.
            ApiError: The engine refused the question.
        """
        self._send(_told(question, self._via))
        return decode_answer(question, self._line())

    def decisions(self) -> Iterator[dict[str, Any]]:
        """Return every decision from now on, as plain JSON, until the engine stops."""
        self._send(Subscribe())
        _decoded(self._line(), Done)
        if self._socket is not None:
            self._socket.settimeout(None)
        while True:
            try:
                line = self._line()
            except NoEngineError:
                return
            yield _decoded(line, dict[str, Any])

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._buffer.clear()

    def _send(self, question: Question[Any]) -> None:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(self._timeout_s)
                self._socket.connect(str(self._path))
            self._socket.sendall(encode_question(question))
        except OSError as error:
            self.close()
            raise NoEngineError(self._path, _reason(error)) from error

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            try:
                data = self._socket.recv(1 << 16) if self._socket is not None else b""
            except OSError as error:
                self.close()
                raise NoEngineError(self._path, _reason(error)) from error
            if not data:
                self.close()
                raise NoEngineError(self._path, "it closed the connection")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


class AsyncClient:
    """The same for programs on asyncio; questions of several tasks wait for each other."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, via: str = "") -> None:
        """Name the socket; `via` is told with each question that does not say its own."""
        self._path = path
        self._timeout_s = timeout_s
        self._via = via
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        """Return the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    async def ask(self, question: Question[Answer]) -> Answer:
        """Return the engine's answer.

        Raises:
            NoEngineError: No engine answers at the socket.
            ApiError: The engine refused the question.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    line = await self._exchange(question)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.close()
                raise NoEngineError(self._path, _reason(error)) from error
            except BaseException:
                self.close()  # half an answer may be under way; the next question gets a new connection
                raise
        return decode_answer(question, line)

    async def decisions(self) -> AsyncIterator[dict[str, Any]]:
        """Return every decision from now on, until the engine stops; uses the connection for itself."""
        await self.ask(Subscribe())
        reader = self._reader
        while reader is not None:
            line = await reader.readline()
            if not line:
                return
            yield _decoded(line, dict[str, Any])

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, question: Question[Any]) -> bytes:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_unix_connection(
                self._path, limit=1 << 30
            )
        self._writer.write(encode_question(_told(question, self._via)))
        return await self._reader.readuntil(b"\n")


def _told(question: Question[Any], via: str) -> Question[Any]:
    """Return a question that says by which way it comes."""
    return question if question.via or not via else msgspec.structs.replace(question, via=via)


def _reason(error: BaseException) -> str:
    """Return in a few words why a connection failed."""
    if isinstance(error, FileNotFoundError):
        return "there is no socket"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, asyncio.IncompleteReadError):
        return "it closed the connection"
    return getattr(error, "strerror", None) or str(error)
