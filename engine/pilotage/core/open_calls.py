"""The calls of stories that are under way: each comes to exactly one end, whether its service answers or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pilotage.core.graph import Graph
from pilotage.core.timers import Timer
from pilotage.model import sentences
from pilotage.model.messages import CallOut, CallResult, CommandResult, Followed, Outcome

SILENCE_S: Final = 5.0
"""After its deadline a call of which nothing was heard is given up so much later."""
BAD_ANSWERS: Final[Mapping[str, str]] = {
    "refused": "refused",
    "rejected": "refused",
    "failed": "failed",
}
"""What a service says when it will not, and the end that this is."""


class _Open:
    """One call under way; `awaits` the statuses that count as its answer, or none."""

    __slots__ = ("answer", "awaits", "detail", "due", "name", "timer")

    def __init__(self, name: str, awaits: tuple[str, ...], due: float) -> None:
        self.name = name
        self.awaits = awaits
        self.due = due
        self.answer: Outcome | None = None
        self.detail = ""
        self.timer: Timer | None = None


class OpenCalls:
    """Follows every call from its sending to its end.

    Attributes:
        on_unknown: Told of a call (its name, and a text) of which nobody knows whether it was carried out.
    """

    def __init__(self, graph: Graph, emit: Callable[[Any], None]) -> None:
        self._graph = graph
        self._emit = emit
        self._open: dict[str, _Open] = {}
        self.on_unknown: Callable[[str, str], None] = lambda name, text: None

    def begin(
        self, call: CallOut, awaits: tuple[str, ...] = (), within_s: float | None = None
    ) -> None:
        """Follow a call that is being sent.

        Args:
            call: What is sent.
            awaits: Statuses that count as done; none when the acknowledgement of its connection is enough.
            within_s: How long the service may take to answer.
        """
        late = call.deadline + SILENCE_S
        due = late if within_s is None else self._graph.clock.now + within_s
        self._open[call.id] = open_ = _Open(call.name, awaits, due)
        self._watch(call.id, open_)

    def _watch(self, id_: str, open_: _Open) -> None:
        open_.timer = self._graph.timers.at(open_.due, partial(self._time_is_over, id_))

    def result(self, result: CommandResult) -> None:
        """Take what an adapter knows of a call."""
        open_ = self._open.get(result.command)
        if open_ is None:
            return
        open_.answer, open_.detail = result.outcome, result.detail
        match result.outcome:
            case Outcome.NOT_SENT:
                self._end(result.command, "expired", result.detail)
            case Outcome.REFUSED:
                self._end(result.command, "refused", result.detail)
            case Outcome.ACKNOWLEDGED if not open_.awaits:
                self._end(result.command, "done")
            case Outcome.UNKNOWN if not open_.awaits:
                self._nobody_knows(result.command)
            case _:
                pass

    def answered(self, result: CallResult) -> None:
        """Take a service's answer."""
        open_ = self._open.get(result.call)
        if open_ is None:
            return
        if result.status in open_.awaits:
            self._end(result.call, "done", result.detail)
        elif result.status in BAD_ANSWERS:
            self._end(result.call, BAD_ANSWERS[result.status], result.detail)

    def _time_is_over(self, id_: str) -> None:
        if id_ in self._open:
            self._nobody_knows(id_)

    def _nobody_knows(self, id_: str, why: str = "") -> None:
        open_ = self._open[id_]
        arrived = open_.answer is Outcome.ACKNOWLEDGED
        how = "it arrived, and was not answered in time" if arrived else open_.detail or "no answer"
        text = sentences.UNANSWERED.say(call=open_.name, id=id_, why=f"{why}{how}")
        self._end(id_, "unknown", text)
        self.on_unknown(open_.name, text)

    def _end(self, id_: str, outcome: str, detail: str = "") -> None:
        open_ = self._open.pop(id_)
        if open_.timer is not None:
            open_.timer.cancel()
        self._emit(Followed(open_.name, id_, outcome, detail))

    # ── memory ───────────────────────────────────────────────────────────────────────────────

    def remember(self) -> dict[str, Any]:
        """Return the calls under way as plain data, by id."""
        return {
            id_: {
                "name": o.name,
                "awaits": list(o.awaits),
                "due": o.due,
                "answer": o.answer.value if o.answer is not None else None,
                "detail": o.detail,
            }
            for id_, o in self._open.items()
        }

    def recall(self, data: Mapping[str, Any]) -> None:
        """Take up what was written down; nothing is emitted."""
        for id_, plain in data.items():
            open_ = self._open[id_] = _Open(plain["name"], tuple(plain["awaits"]), plain["due"])
            open_.answer = Outcome(plain["answer"]) if plain["answer"] is not None else None
            open_.detail = plain["detail"]
            self._watch(id_, open_)

    def reconcile_after_restart(self) -> None:
        """Say what became of the calls that nobody will answer any more; no call is asked again."""
        for id_, open_ in list(self._open.items()):
            if not open_.awaits or open_.due <= self._graph.clock.now:
                self._nobody_knows(id_, "the engine was restarted; ")
