"""The records that travel: what comes in (inputs), what was decided (events), what goes out (commands).

Everything that may happen to the engine is an input; everything it decides is an event of a `Decision`, in
order. References are ids here, so that a record can be written, read and compared anywhere.

The records that every rule that acts gives rise to are named tuples (0.3 µs each), the others frozen dataclasses (0.9 µs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from pilotage.model.entities import PointSpec
from pilotage.model.quality import Quality
from pilotage.model.values import Value


class PointHandle(Protocol):
    """A point of the running city, found once and kept: `seg-12.lights.level`."""

    @property
    def id(self) -> str:
        """`ENTITY.POINT`."""
        ...

    @property
    def spec(self) -> PointSpec:
        """What the kind says of the point."""
        ...


# ── inputs ───────────────────────────────────────────────────────────────────────────────────

CHANGED_SINCE: Final = "has changed since you looked: look again"
"""How the refusal ends of an order that was decided on another sight (`seen`) than the present one."""


class Reading(NamedTuple):
    """What a device reported, admitted at the door: right type, in the point's unit, within its range.

    A named tuple and no dataclass: it is made for every message of every device, and this is the fastest frozen record.
    """

    point: PointHandle
    value: Any
    quality: Quality
    source_time: float


class Outcome(Enum):
    """What became of a command, as far as its adapter knows; the street itself is known by reading it back."""

    ACKNOWLEDGED = "acknowledged"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"  # it may have been carried out; read back, never repeat blindly
    REFUSED = "refused"  # the device or service itself said no: nothing was carried out


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What an adapter knows of a command after sending it."""

    command: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A connection is back: its points are told again what is wanted of them."""

    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewaysChanged:
    """The group points that some connection takes as one command for all members are these now."""

    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConnectionPaced:
    """A connection may not carry everything at once: `count` orders within `per_s` seconds; 0 takes the limit away."""

    connection: str
    points: tuple[str, ...]
    count: int
    per_s: float = 1.0


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a service answered to a call."""

    call: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """A person takes a point at level 8 (7 for maintenance) until a time (seconds since 1970), for a reason.

    `origin` of this and the other orders says by which way it came, and from whom: `cli alice`, `web pilotage 192.0.2.7`.
    `seen` says who held the point by hand when the person decided (`hand_of`); when that is another by now, it is refused.
    """

    point: str
    value: Value
    person: str
    reason: str
    until: float
    origin: str = ""
    seen: str = ""
    level: int = 8


@dataclass(frozen=True, slots=True)
class ReleaseOverride:
    """A person gives an override back; `seen` as in `Override`. Of one at a level above `level` it is refused."""

    point: str
    person: str
    origin: str = ""
    seen: str = ""
    level: int = 7


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """A person or an interface sets a plan's level by hand (0 ends it, None gives it back to its conditions).

    Attributes:
        until: When the level ends, seconds since 1970; None leaves that to the plan's `manual_expires`.
        seen: Where the plan stood when the person decided (`Plan.standing`); when it stands elsewhere the order is refused.
        undo: Take the last order back instead, as far as that is still possible; `level` does not count.
    """

    plan: str
    level: int | None
    person: str
    reason: str
    role: str = ""
    parameters: Mapping[str, Any] | None = None
    origin: str = ""
    until: float | None = None
    seen: str = ""
    undo: bool = False


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """A person answers a proposal of a plan, a review question or a checklist item, or is the second one that a plan asks for.

    `question` is `confirm`, `second`, `review` or `checklist:LEVEL:INDEX`; `seen` as in `PlanOrder`, or where the step stood.
    """

    plan: str
    question: str
    yes: bool
    person: str
    role: str = ""
    origin: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class AlarmOrder:
    """A person acts on an alarm.

    `action` is acknowledge, take, give_back, comment, reset, shelve, unshelve, out_of_service or return_to_service; the two
    that suspend need `until` (seconds since 1970). `seen` says where the alarm stood when the person decided (`Alarm.standing`);
    when people have done something about it since, the order is refused.
    """

    alarm: str
    action: str
    person: str
    until: float | None = None
    reason: str = ""
    role: str = ""
    origin: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """A rule is put into quarantine, or released from it: by a person, or by the engine's watch over what rules cost.

    In quarantine it decides nothing, and what it held is given back. How long rules take is measured outside of the core; this
    order is all that the core knows of it, so that a replay decides the same. A person also puts a rule live (`enable`), into
    `shadow` or off (`disable`), whatever its file says, or gives it back to its file (`restore`). `action` is one of these; `seen`
    says where the rule stood when the person decided (`Modes.standing`).
    """

    rule: str
    action: str
    person: str
    reason: str = ""
    origin: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class GlassOrder:
    """A person breaks the glass: acts for every post until a time (seconds since 1970); or mends it before that.

    `action` is break or mend; `whose` is who is mended, if that is somebody else.
    """

    action: str
    person: str
    post: str = ""
    reason: str = ""
    until: float = 0.0
    whose: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class NoticeAcknowledged:
    """Somebody has seen a notification."""

    notice: str
    person: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class IncidentOrder:
    """A person opens an incident, writes a note on it, or closes it.

    Attributes:
        action: `open`, `note`, `attach`, `detach` or `close`.
        text: The title, the note, or why; of `attach` and `detach` what it is: `alarm ID`, `report NUMBER`, `plan NAME`.
        severity: Of one that is opened: low, medium, high or critical.
        type: Of one that is opened: a word for the trade that it belongs to.
    """

    incident: str
    action: str
    person: str
    text: str = ""
    origin: str = ""
    severity: str = ""
    type: str = ""


Input = (
    Reading
    | CommandResult
    | Reconnected
    | GatewaysChanged
    | ConnectionPaced
    | CallResult
    | Override
    | ReleaseOverride
    | PlanOrder
    | PlanAnswer
    | AlarmOrder
    | RuleOrder
    | GlassOrder
    | NoticeAcknowledged
    | IncidentOrder
)

# ── what leaves ──────────────────────────────────────────────────────────────────────────────


class Command(NamedTuple):
    """An absolute order to a device, verified by a later reading.

    Attributes:
        id: From the decision's number and the place in it.
        value: In the point's unit; None gives the point back to the device (a point without default).
        ramp_s: The change may take this long, in seconds.
        deadline: Never sent after this, seconds since 1970.
        because: The owner of the demand that won.
        attempt: 1 for the first sending.
        pulse: Done twice when it is sent twice: no adapter, gateway or broker may repeat it.
    """

    id: str
    point: str
    value: Any
    deadline: float
    because: str
    ramp_s: float = 0.0
    attempt: int = 1
    pulse: bool = False


class Request(NamedTuple):
    """A held request to a device: made, updated when its `data` changes, cancelled at release.

    Attributes:
        action: `request`, `update` or `cancel`.
        entity: Id of the entity that the request is for.
    """

    id: str
    point: str
    action: str
    entity: str
    data: Mapping[str, Any]
    deadline: float
    because: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CallOut:
    """A service is asked for something; a `pulse` is done twice when it is sent twice."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    deadline: float
    because: str
    attempt: int = 1
    pulse: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people."""

    id: str
    to: tuple[str, ...]
    text: str
    link: str
    because: str
    acknowledge_by: float | None = None


Outgoing = Command | Request | CallOut | Notice

# ── events of a decision ─────────────────────────────────────────────────────────────────────


class RuleChanged(NamedTuple):
    """An instance of a rule went from one state to another.

    `why` says what ended it; `read` holds the values that its condition read at that moment, as pairs of point and value,
    so that the record alone shows the reason afterwards.
    """

    rule: str
    instance: str
    before: str
    after: str
    why: str = ""
    read: tuple[tuple[str, Any], ...] = ()


class Demanded(NamedTuple):
    """A demand was placed in (or changed within) a point's priority array."""

    point: str
    owner: str
    level: int
    value: Any
    reason: str
    until: float | None = None


class Relinquished(NamedTuple):
    """A demand left a point's priority array."""

    point: str
    owner: str
    why: str = ""


class TargetChanged(NamedTuple):
    """What is wanted of a point now, and by whom; level 17 is the relinquish default, 0 an invariant."""

    point: str
    value: Any
    owner: str
    level: int


class Followed(NamedTuple):
    """A command came to its end, or the device itself changed: `local`.

    Each command, request and call ends once, in one of: `done`; `refused` (the device said no); `expired` (it never left, and
    its deadline has passed); `failed` (it arrived, and the device says otherwise); `unknown` (nobody knows); `superseded` (another
    order for the same point took its place before its end was known). What a device does by itself is no end of a
    command: `command` is empty then. For a call `point` is the call's name.
    """

    point: str
    command: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AlarmChanged:
    """An alarm went from one ISA-18.2 state to another."""

    alarm: str
    severity: str
    before: str
    after: str
    text: str
    person: str = ""


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """A plan changed its level."""

    plan: str
    before: int
    after: int
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class PlanAsks:
    """A plan asks people something: to confirm a level, to review, to tick a checklist item."""

    plan: str
    question: str
    text: str
    to: tuple[str, ...]
    by: float


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A story started, ended, failed, or stands at a step; `missed`: its moment was too long ago to begin.

    `read` as in `RuleChanged`, of what made it start.
    """

    run: str
    rule: str
    instance: str
    state: str
    step: str = ""
    read: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    """An incident was opened, joined, noted on or closed."""

    incident: str
    action: str
    type: str = ""
    severity: str = ""
    text: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Noted:
    """A story wrote into the journal."""

    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class Faulted:
    """A function of a plugin failed inside a rule; the rule's value is unknown."""

    owner: str
    detail: str


@dataclass(frozen=True, slots=True)
class GlassChanged:
    """Somebody at a post broke the glass (`broken`, until a time), or it is `whole` again since a time, and why."""

    post: str
    state: str
    person: str
    time: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class OrderTaken:
    """An order of a person was carried out; its place in the decision is its receipt.

    Attributes:
        about: What it is about, its kind first: `override seg-1.lights.level`, `plan storm`, `alarm A[x]`, `notice 3-1`.
        reason: In the person's words.
        origin: By which way it came.
    """

    order: str
    person: str
    detail: str
    about: str = ""
    reason: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """An order of a person was refused, and why; the other fields are those of `OrderTaken`."""

    order: str
    person: str
    why: str
    about: str = ""
    reason: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one tick decided, in order; ticks that decide nothing leave none.

    Attributes:
        number: Counts up by one.
        now: Time of the tick, seconds since 1970.
        events: Everything that changed and everything that leaves.
    """

    number: int
    now: float
    events: tuple[Any, ...]

    @property
    def outgoing(self) -> tuple[Outgoing, ...]:
        """The commands, requests, calls and notices among the events."""
        return tuple(e for e in self.events if isinstance(e, (Command, Request, CallOut, Notice)))
