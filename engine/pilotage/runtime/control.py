"""The control socket: answers the questions of `pilotage.api` and takes people's orders.

Everything runs in the engine's event loop between two ticks, so that an answer never shows half a tick. A caller that
sends too much, too slowly or nonsense loses its connection and nothing else.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fnmatch
import itertools
import logging
import os
import pwd
import re
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from pilotage import api
from pilotage.api import ApiError
from pilotage.core.store import Cell, to_value
from pilotage.model.entities import PointSpec
from pilotage.model.messages import (
    CHANGED_SINCE,
    AlarmOrder,
    Decision,
    GlassOrder,
    IncidentOrder,
    NoticeAcknowledged,
    Override,
    PlanAnswer,
    PlanOrder,
    ReleaseOverride,
    RuleOrder,
)
from pilotage.model.values import as_plain, format_value
from pilotage.ports import Clock, DecisionRecord, LogUnusableError
from pilotage.runtime.act_desk import ActDesk
from pilotage.runtime.audit.derive import origin_text
from pilotage.runtime.audit.desk import ACCESS, AuditDesk, NotRecordedError
from pilotage.runtime.audit.entries import told
from pilotage.runtime.audit.reader import Wanted
from pilotage.runtime.desks.equipment import EquipmentDesk
from pilotage.runtime.desks.rule_figures import RuleFigures
from pilotage.runtime.desks.rules import RuleDesk
from pilotage.runtime.desks.vitals import VitalsDesk
from pilotage.runtime.desks.why import WhyDesk
from pilotage.runtime.envelope import encode_decision
from pilotage.runtime.feed import Feed
from pilotage.runtime.history.answers import history_of, history_status, value_at
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.inbox import Inbox, InboxFullError, Order
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.loop import DiskRefusesError
from pilotage.runtime.point_values import MisfitError, converter

LINE_S: Final = 5.0
ANSWER_S: Final = 60.0
RECEIPT_S: Final = 10.0
MOST_CONNECTIONS: Final = 64
MOST_ROWS: Final = 10_000
SUBSCRIBER_BACKLOG: Final = 2_000

_caller: ContextVar[tuple[int, str]] = ContextVar("caller", default=(-1, ""))
"""The user of the connection that is served: its number and its name."""

log = logging.getLogger("pilotage.control")

T = TypeVar("T")


class RunningService(Protocol):
    """The service as the control socket sees it."""

    @property
    def engine(self) -> Any:
        """The core (`pilotage.core.engine.Engine`): its cells and entities by id."""
        ...

    @property
    def views(self) -> Any:
        """What is shown of the core (`pilotage.runtime.views.CityViews`)."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Where orders go."""
        ...

    @property
    def clock(self) -> Clock:
        """The engine's time."""
        ...

    @property
    def history(self) -> Recorder | None:
        """What records values; None when nothing does."""
        ...

    def status(self) -> api.EngineStatus:
        """Return what runs."""
        ...

    def health_report(self) -> api.HealthReport:
        """Return what is wrong."""
        ...

    def figures(self) -> api.Figures:
        """Return how busy the engine is."""
        ...

    def decisions(
        self, since: float | None, until: float | None, after: int
    ) -> Iterable[DecisionRecord]:
        """Return decisions of the journal; called in another thread."""
        ...

    def subscribe(self, listener: Callable[[Decision], None]) -> Callable[[], None]:
        """Have every committed decision given to a listener; returns what ends it."""
        ...

    @property
    def feed(self) -> Feed:
        """What is told to the live pages."""
        ...

    async def forget_inputs(self) -> int:
        """Delete the readings and orders of the journal, and the snapshots of before; returns how many snapshots."""
        ...

    async def reload(self, by: str = "") -> api.Reloaded:
        """Read configuration and rules anew."""
        ...

    @property
    def audit(self) -> AuditDesk:
        """Where is written what people do besides orders."""
        ...

    def audited(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Return rows of the audit; called in another thread."""
        ...

    @property
    def settings(self) -> Any:
        """What `config.yaml` says (`pilotage.runtime.config.Settings`)."""
        ...

    @property
    def plan(self) -> Any:
        """What was read and compiled last (`pilotage.runtime.workshop.CityPlan`)."""
        ...

    @property
    def snapshot_folder(self) -> Path:
        """Where the snapshots are."""
        ...

    @property
    def journal_file(self) -> Path:
        """Where the journal is."""
        ...

    @property
    def rule_figures(self) -> RuleFigures:
        """What each rule has done."""
        ...

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal; called in another thread."""
        ...

    def stop_soon(self, by: str = "") -> None:
        """End the service after this answer."""
        ...


class ControlSocket:
    """Serves `pilotage.api` on a socket file."""

    def __init__(self, path: Path, service: RunningService, mode: int = 0o600) -> None:
        """Prepare a socket.

        Args:
            path: Its file, in a folder of its own that only the engine's user can enter.
            service: What is asked about.
            mode: Of the file: 0600 for the engine's user alone, 0660 for its group too.
        """
        self._path = path
        self._service = service
        self._mode = mode
        self._server: asyncio.Server | None = None
        self._callers: set[asyncio.Task[None]] = set()
        self._acts = ActDesk(service, _origin)
        self._rules_desk = RuleDesk(service)
        self._answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.GetStatus: self._status,
            api.GetHealth: self._health,
            api.GetFigures: self._figures,
            api.ListPoints: self._points,
            api.GetPoint: self._point,
            api.ListRules: self._rules,
            api.GetRule: self._rule,
            api.ListDecisions: self._decisions,
            api.ListPlaces: self._places,
            api.ExplainPoint: self._explain_point,
            api.ExplainRule: self._explain_rule,
            api.HistoryOf: self._history_of,
            api.ValueAt: self._value_at,
            api.GetHistoryStatus: self._history_status,
            api.EraseHistory: self._erase_history,
            api.SetOverride: self._override,
            api.ReleaseOverride: self._release,
            api.SetPlan: self._set_plan,
            api.AnswerPlan: self._answer_plan,
            api.ActOnAlarm: self._act_on_alarm,
            api.OrderRule: self._order_rule,
            api.BreakGlass: self._break_glass,
            api.MendGlass: self._mend_glass,
            api.AcknowledgeNotice: self._acknowledge_notice,
            api.ActOnIncident: self._act_on_incident,
            api.ListAudit: self._list_audit,
            api.RecordAudit: self._record_audit,
            api.EraseFromAudit: self._erase_from_audit,
            api.Reload: self._reload,
            api.Stop: self._stop,
            **WhyDesk(service).answers,
            **self._acts.answers,
            **self._rules_desk.answers,
            **EquipmentDesk(service).answers,
            **VitalsDesk(service).answers,
        }

    async def open(self) -> None:
        """Begin to answer; the caller owns the partition, so a socket that lies there is a dead engine's.

        Raises:
            OSError: The socket cannot be made there.
        """
        self._make_folder()
        self._acts.begin()
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)  # no moment in which others could open it
        try:
            self._server = await asyncio.start_unix_server(
                self._serve, self._path, limit=api.MAX_QUESTION_BYTES
            )
        finally:
            os.umask(before)
        self._path.chmod(self._mode)

    def _make_folder(self) -> None:
        folder = self._path.parent
        allowed = 0o750 if self._mode & 0o060 else 0o700
        if not folder.exists():
            folder.mkdir(parents=True, mode=allowed)
        elif stat.S_IMODE(folder.stat().st_mode) & 0o022:
            log.warning(
                "others can write into %s (mend: chmod %o %s)",
                folder,
                allowed,
                folder,
                extra={"event": "control.open_folder"},
            )

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._rules_desk.close()
        if self._server is None:
            return
        self._server.close()
        for caller in list(self._callers):
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    # ── a caller ─────────────────────────────────────────────────────────────────────────────

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._callers.add(task)
        try:
            user = _user_of(writer)
            _caller.set((user, _name_of(user)))
            if not self._mode & 0o060 and not _is_own(user):
                log.warning(
                    "user %d asked at the control socket and was refused",
                    user,
                    extra={"event": "control.refused"},
                )
                return
            if len(self._callers) > MOST_CONNECTIONS:
                error = ApiError("busy", f"{MOST_CONNECTIONS} callers are connected already")
                writer.write(api.encode_error(error))
                return
            while await self._exchange(reader, writer):
                pass
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the caller is gone or too slow, or the engine stops
        finally:
            self._callers.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one question; False when the caller should go."""
        try:
            line = await _read_line(reader)
        except ApiError as error:
            writer.write(api.encode_error(error))
            return False
        if not line:
            return False
        question: Any = None
        try:
            question = api.decode_question(line)
            if isinstance(question, api.Subscribe):
                await self._pour(reader, writer, self._every_decision)
                return False
            if isinstance(question, api.FollowCity):
                await self._pour(reader, writer, self._all_news)
                return False
            async with asyncio.timeout(ANSWER_S):
                answer = await self._answer(question)
            data = api.encode_answer(answer)
        except ApiError as error:
            data = api.encode_error(error)
        except TimeoutError:
            data = api.encode_error(ApiError("too-long", f"no answer within {ANSWER_S:g} s"))
        except Exception as error:
            log.exception(
                "a question could not be answered: %s",
                type(question).__name__,
                extra={"event": "control.failed"},
            )
            data = api.encode_error(
                ApiError(
                    "failed",
                    f"the engine failed to answer: {type(error).__name__}: {error}",
                    "see the engine's log",
                )
            )
        writer.write(data)
        async with asyncio.timeout(ANSWER_S):
            await writer.drain()
        return True

    async def _answer(self, question: Any) -> Any:
        """Answer a question; an order that does not come past this door is in the audit too."""
        try:
            return await self._answers[type(question)](question)
        except ApiError as error:
            about = _ABOUT.get(type(question))
            if about is not None:
                kind, key = about
                self._service.audit.order_refused(
                    kind,
                    f"plan:{question.plan}" if key == "plan" else getattr(question, key),
                    {"code": error.code, "why": error.text},
                    told({"person": question.person, "reason": getattr(question, "reason", "")}),
                    _origin(question),
                )
            raise

    async def _pour(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        begin: Callable[[Callable[[bytes], None]], Awaitable[tuple[Any, Callable[[], None]]]],
    ) -> None:
        """Send lines until the caller goes or cannot keep up.

        Args:
            reader: What the caller says: nothing more, it only leaves.
            writer: Where the lines go.
            begin: Is told what takes a line; returns the answer to the question, and what ends the lines.
        """
        lines: asyncio.Queue[bytes] = asyncio.Queue(SUBSCRIBER_BACKLOG)
        slow = False

        def take(line: bytes) -> None:
            nonlocal slow
            try:
                lines.put_nowait(line)
            except asyncio.QueueFull:
                slow = True

        def leave(_: object) -> None:
            if serving is not None:
                serving.cancel()

        serving = asyncio.current_task()
        gone = asyncio.ensure_future(reader.read(1))
        gone.add_done_callback(leave)
        end: Callable[[], None] | None = None
        try:
            answer, end = await begin(take)
            writer.write(api.encode_answer(answer))
            try:
                while not slow:
                    writer.write(await lines.get())
                    await writer.drain()
            except ConnectionError:  # writing found that the caller is gone before reading did
                return
            writer.write(
                api.encode_error(
                    ApiError(
                        "too-slow",
                        f"{SUBSCRIBER_BACKLOG} lines were not fetched",
                        "read faster, or ask for decisions since the last one that you have",
                    )
                )
            )
        finally:
            if end is not None:
                end()
            gone.remove_done_callback(leave)
            gone.cancel()

    async def _every_decision(
        self, take: Callable[[bytes], None]
    ) -> tuple[api.Done, Callable[[], None]]:
        def encoded(decision: Decision) -> None:
            take(b'{"ok":' + encode_decision(decision) + b"}\n")

        return api.Done("every decision from now on"), self._service.subscribe(encoded)

    async def _all_news(
        self, take: Callable[[bytes], None]
    ) -> tuple[api.CityNow, Callable[[], None]]:
        return await self._service.feed.listen(take)

    # ── questions ────────────────────────────────────────────────────────────────────────────

    async def _status(self, _: api.GetStatus) -> api.EngineStatus:
        return self._service.status()

    async def _figures(self, _: api.GetFigures) -> api.Figures:
        return self._service.figures()

    async def _health(self, _: api.GetHealth) -> api.HealthReport:
        return self._service.health_report()

    async def _points(self, ask: api.ListPoints) -> api.PointList:
        matches = re.compile(fnmatch.translate(ask.match)).match
        limit = max(1, min(ask.limit, MOST_ROWS))
        cells = self._service.engine.cells
        ids = sorted(id_ for id_ in cells if id_ > ask.after and matches(id_))
        now = self._service.clock.now()
        fitting = (
            cell
            for cell in map(cells.peek, ids)
            if (not ask.kind or _kind(cell) == ask.kind)
            and (not ask.quality or cell.quality.value == ask.quality)
        )
        page = list(itertools.islice(fitting, limit + 1))
        points = [_point(cell, now) for cell in page[:limit]]
        return api.PointList(points, points[-1].id if len(page) > limit else "")

    async def _point(self, ask: api.GetPoint) -> api.PointDetail:
        cell = self._cell(ask.point)
        detail = self._view("point", ask.point)
        return _converted(
            {
                **_plain(detail),
                "point": msgspec.to_builtins(_point(cell, self._service.clock.now())),
            },
            api.PointDetail,
        )

    async def _rules(self, _: api.ListRules) -> list[api.Rule]:
        return _converted(_plain(self._view("rules")), list[api.Rule])

    async def _rule(self, ask: api.GetRule) -> api.RuleDetail:
        return _converted(_plain(self._view("rule", ask.rule)), api.RuleDetail)

    async def _decisions(self, ask: api.ListDecisions) -> api.DecisionList:
        limit = max(1, min(ask.limit, MOST_ROWS))

        def read() -> list[DecisionRecord]:
            found = self._service.decisions(ask.since, ask.until, ask.after)
            return list(itertools.islice(found, limit + 1))

        found = await asyncio.to_thread(read)
        page = [msgspec.json.decode(record.record) for record in found[:limit]]
        return api.DecisionList(page, found[limit - 1].number if len(found) > limit else 0)

    async def _places(self, ask: api.ListPlaces) -> api.PlaceList:
        feed = self._service.feed
        first, limit = max(ask.after + 1, 0), max(1, min(ask.limit, MOST_ROWS))
        return api.PlaceList(
            epoch=feed.epoch,
            count=len(feed.equipment),
            places=feed.places(first, limit),
            next=first + limit - 1 if first + limit < len(feed.equipment) else -1,
        )

    async def _explain_point(self, ask: api.ExplainPoint) -> api.Explanation:
        self._cell(ask.point)
        return _explanation(self._view("explain_point", ask.point))

    async def _explain_rule(self, ask: api.ExplainRule) -> api.Explanation:
        return _explanation(self._view("explain_rule", ask.rule, ask.instance))

    # ── history ──────────────────────────────────────────────────────────────────────────────

    async def _history_of(self, ask: api.HistoryOf) -> api.PointHistory:
        recorder, now = self._recorder(), self._service.clock.now()
        return await _unhurried(lambda: history_of(recorder.reader(), ask, now))

    async def _value_at(self, ask: api.ValueAt) -> api.PastValue:
        recorder = self._recorder()
        return await _unhurried(lambda: value_at(recorder.reader(), ask))

    async def _history_status(self, _: api.GetHistoryStatus) -> api.HistoryStatus:
        recorder = self._recorder()
        return await _unhurried(lambda: history_status(recorder.reader(), recorder.status()))

    async def _erase_history(self, ask: api.EraseHistory) -> api.Done:
        _need(person=ask.person, reason=ask.reason)
        recorder = self._recorder()
        rows = await _unhurried(lambda: recorder.erase(ask.entity))
        log.info(
            "%d rows of the history were erased; the audit says by whom",
            rows,
            extra={"event": "history.erased"},
        )
        try:
            await self._service.forget_inputs()
        except TimeoutError:
            raise ApiError(
                "no-snapshot",
                f"{rows} rows of the history were erased; the journal still holds the readings, since no snapshot of the"
                " engine could be written",
                "see `pilotage status` for what is wrong with the disk, then erase again",
            ) from None
        return api.Done(
            f"{rows} rows of the history were erased, and every reading and order of the journal; decisions stay for"
            " as long as storage.journal.keep says"
        )

    def _recorder(self) -> Recorder:
        recorder = self._service.history
        if recorder is None:
            raise ApiError(
                "no-history",
                "this engine records no history",
                "set history.enabled, or see `pilotage status` for trouble with its file",
            )
        return recorder

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    async def _override(self, ask: api.SetOverride) -> api.Receipt:
        _need(person=ask.person, reason=ask.reason)
        if not 0 < ask.for_s < float("inf"):
            raise ApiError("bad-order", f"an override lasts longer than nothing, not {ask.for_s} s")
        value = self._admitted(ask.point, ask.value)
        until = self._service.clock.now() + ask.for_s
        return await self._order(
            Override(
                ask.point, value, ask.person, ask.reason, until, _origin(ask), ask.seen, ask.level
            )
        )

    async def _release(self, ask: api.ReleaseOverride) -> api.Receipt:
        _need(person=ask.person)
        self._cell(ask.point)
        return await self._order(
            ReleaseOverride(ask.point, ask.person, _origin(ask), ask.seen, ask.level)
        )

    async def _set_plan(self, ask: api.SetPlan) -> api.Receipt:
        _need(person=ask.person, reason=ask.reason)
        return await self._order(
            PlanOrder(
                *(ask.plan, ask.level, ask.person, ask.reason, ask.role, ask.parameters),
                origin=_origin(ask),
                until=ask.until,
                seen=ask.seen,
                undo=ask.undo,
            )
        )

    async def _answer_plan(self, ask: api.AnswerPlan) -> api.Receipt:
        _need(person=ask.person)
        return await self._order(
            PlanAnswer(
                ask.plan, ask.question, ask.yes, ask.person, ask.role, _origin(ask), ask.seen
            )
        )

    async def _act_on_alarm(self, ask: api.ActOnAlarm) -> api.Receipt:
        _need(person=ask.person)
        until = None if ask.for_s is None else self._service.clock.now() + ask.for_s
        return await self._order(
            AlarmOrder(
                *(ask.alarm, ask.action, ask.person, until, ask.reason, ask.role),
                origin=_origin(ask),
                seen=ask.seen,
            )
        )

    async def _order_rule(self, ask: api.OrderRule) -> api.Receipt:
        _need(person=ask.person, reason=ask.reason)
        return await self._order(
            RuleOrder(ask.rule, ask.action, ask.person, ask.reason, _origin(ask), ask.seen)
        )

    async def _break_glass(self, ask: api.BreakGlass) -> api.Receipt:
        _need(person=ask.person, reason=ask.reason)
        until = self._service.clock.now() + ask.for_s
        return await self._order(
            GlassOrder("break", ask.person, ask.post, ask.reason, until, origin=_origin(ask))
        )

    async def _mend_glass(self, ask: api.MendGlass) -> api.Receipt:
        _need(person=ask.person)
        return await self._order(
            GlassOrder("mend", ask.person, ask.post, whose=ask.whose, origin=_origin(ask))
        )

    async def _acknowledge_notice(self, ask: api.AcknowledgeNotice) -> api.Receipt:
        _need(person=ask.person)
        return await self._order(NoticeAcknowledged(ask.notice, ask.person, _origin(ask)))

    async def _act_on_incident(self, ask: api.ActOnIncident) -> api.Receipt:
        _need(person=ask.person)
        return await self._order(
            IncidentOrder(
                *(ask.incident, ask.action, ask.person, ask.text, _origin(ask)),
                *(ask.severity, ask.type),
            )
        )

    async def _reload(self, ask: api.Reload) -> api.Reloaded:
        return await self._service.reload(_origin(ask))

    async def _list_audit(self, ask: api.ListAudit) -> list[api.AuditRow]:
        wanted = Wanted(
            person=ask.person,
            entity=ask.entity,
            rule=ask.rule,
            kind=ask.kind,
            since=ask.since,
            until=ask.until,
            last=max(1, min(ask.last, MOST_ROWS)),
            kinds=tuple(ask.kinds),
            action=ask.action,
            post=ask.post,
            before=ask.before,
            after=ask.after,
        )
        rows = await asyncio.to_thread(self._service.audited, wanted)
        return _converted(rows, list[api.AuditRow])

    async def _record_audit(self, ask: api.RecordAudit) -> api.Recorded:
        _need_own_user()
        _need(person=ask.person)
        if ask.action not in ACCESS:
            raise ApiError("bad-order", f'"{ask.action}" is none of {", ".join(ACCESS)}')
        people = told({"person": ask.person, "about": ask.about, "reason": ask.reason})
        try:
            row = await self._service.audit.access(ask.action, people, ask.detail, _origin(ask))
        except NotRecordedError as error:
            raise ApiError(
                "not-recorded", str(error), "do not let it happen, and try again"
            ) from error
        return api.Recorded(row)

    async def _erase_from_audit(self, ask: api.EraseFromAudit) -> api.Erased:
        _need_own_user()
        _need(person=ask.person, reason=ask.reason, erase=ask.erase)
        people = told({"person": ask.person, "reason": ask.reason})
        try:
            rows = await self._service.audit.erase(ask.erase, people, _origin(ask))
        except NotRecordedError as error:
            raise ApiError("not-recorded", str(error), "try again later") from error
        return api.Erased(rows)

    async def _stop(self, ask: api.Stop) -> api.Done:
        by = _origin(ask)
        asyncio.get_running_loop().call_later(0.05, lambda: self._service.stop_soon(by))
        return api.Done("the engine stops")

    async def _order(self, order: Order) -> api.Receipt:
        """Give an order to the engine and wait until its decision is on disk.

        Raises:
            ApiError: It could not be written down, or it was decided on another sight than the present one (`stale`).
        """
        trouble = self._trouble()
        if trouble:
            raise ApiError("not-recorded", f"orders are not taken now: {trouble}")
        try:
            async with asyncio.timeout(RECEIPT_S):
                receipt = await self._service.inbox.order(order)
        except InboxFullError as error:
            raise ApiError("busy", str(error), "try again in a moment") from error
        except TimeoutError:
            raise ApiError(
                "not-recorded",
                f"the order is not on disk after {RECEIPT_S:g} s: {self._trouble() or 'the disk is slow'};"
                " it may still be carried out",
                "look at the point or plan before you repeat it",
            ) from None
        except DiskRefusesError as error:
            raise ApiError("not-recorded", str(error), "see `pilotage status`") from error
        except Exception as error:
            raise ApiError("failed", str(error), "see the engine's log") from error
        if not receipt.taken and receipt.text.endswith(CHANGED_SINCE):
            raise ApiError("stale", receipt.text, "look at it as it is now, and decide again")
        return api.Receipt(receipt.taken, receipt.text, receipt.decision)

    def _trouble(self) -> str:
        """Return why decisions cannot be written now, or nothing."""
        findings = self._service.health_report().findings
        return next((f.text for f in findings if f.code in ("journal.disk", "journal.fenced")), "")

    # ── what the core gives ──────────────────────────────────────────────────────────────────

    def _cell(self, point: str) -> Cell:
        cell: Cell | None = self._service.engine.cells.get(point)
        if cell is None:
            raise ApiError(
                "unknown-point",
                f'there is no point "{point}"',
                "a point is ENTITY.POINT; `pilotage status --points` lists them",
            )
        return cell

    def _admitted(self, point: str, raw: Any) -> Any:
        """Return a value that a person gives, checked as the door checks what devices report."""
        cell = self._cell(point)
        if not cell.spec.access.is_commandable:
            raise ApiError(
                "bad-order", f"{point} cannot be commanded: it is {cell.spec.access.value}"
            )
        try:
            fitting = converter(cell.spec)(raw)
        except MisfitError as error:
            raise ApiError("bad-value", f"{point}: {error.why}", error.mend) from error
        value = to_value(cell.spec, as_plain(fitting), self._service.engine.entities)
        if value is None:
            raise ApiError(
                "bad-value", f"{point}: {raw} is not among its values ({_range(cell.spec)})"
            )
        return value.id if hasattr(value, "id") else value

    def _view(self, what: str, *names: str) -> Any:
        """Ask the core for one of its views."""
        view = getattr(self._service.views, _VIEWS[what], None)
        if view is None:
            raise ApiError("not-available", f"this engine does not show its {what}")
        try:
            return view(*names)
        except (KeyError, LookupError) as error:
            raise ApiError("unknown", str(error.args[0]) if error.args else str(error)) from error
        except ValueError as error:
            raise ApiError("unknown", str(error)) from error


async def _unhurried(call: Callable[[], T]) -> T:
    """Return what a call gives that reads files, made in another thread."""
    try:
        return await asyncio.to_thread(call)
    except LogUnusableError as error:
        raise ApiError("no-history", str(error)) from error


_VIEWS: Final = {
    "point": "point_view",
    "rules": "rule_views",
    "rule": "rule_view",
    "explain_point": "explain_point",
    "explain_rule": "explain_rule",
}
"""The view behind each question."""


_ABOUT: Final[dict[type[Any], tuple[str, str]]] = {
    api.SetOverride: ("override", "point"),
    api.ReleaseOverride: ("override", "point"),
    api.SetPlan: ("plan", "plan"),
    api.AnswerPlan: ("plan", "plan"),
    api.ActOnAlarm: ("alarm", "alarm"),
    api.OrderRule: ("rule", "rule"),
    api.BreakGlass: ("glass", "post"),
    api.MendGlass: ("glass", "post"),
    api.AcknowledgeNotice: ("notice", "notice"),
    api.ActOnIncident: ("incident", "incident"),
}
"""The orders of people: what kind they are of, and which field says what they are about."""


def _point(cell: Cell, now: float) -> api.Point:
    spec = cell.spec
    return api.Point(
        id=cell.id,
        entity=cell.entity.id if cell.entity is not None else "",
        kind=_kind(cell),
        type=str(spec.type),
        unit=spec.type.unit.symbol,
        access=spec.access.value,
        privacy=spec.privacy.value,
        value=as_plain(cell.value),
        quality=cell.quality.value,
        time=cell.time,
        age_s=None if cell.time is None else max(0.0, now - cell.time),
        last=as_plain(cell.last),
        text=format_value(cell.value, spec.type),
    )


def _kind(cell: Cell) -> str:
    return cell.entity.kind if cell.entity is not None else ""


def _range(spec: PointSpec) -> str:
    if spec.type.members:
        return ", ".join(spec.type.members)
    if spec.low is None and spec.high is None:
        return str(spec.type)
    low, high = (
        format_value(v, spec.type) if v is not None else "…" for v in (spec.low, spec.high)
    )
    return f"{low} to {high}"


def _explanation(found: Any) -> api.Explanation:
    """Return an explanation: its text, and everything in it as plain JSON."""
    plain = _plain(found)
    return api.Explanation(str(plain.get("sentence", "")), plain)


def _plain(value: Any) -> Any:
    """Return what the core gives as plain JSON types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    return as_plain(getattr(value, "value", value) if _is_enum(value) else value)


def _is_enum(value: Any) -> bool:
    return hasattr(type(value), "__members__")


def _converted(value: Any, type_: type[T]) -> T:
    return msgspec.convert(value, type_, strict=False)


def _need(**texts: str) -> None:
    """Refuse an order without its person or reason."""
    for name, text in texts.items():
        if not text.strip():
            raise ApiError("bad-order", f"an order needs a {name}")


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Return the next line, empty when the caller has gone; once begun, it must come quickly."""
    first = await reader.read(1)
    if not first or first == b"\n":
        return first
    try:
        async with asyncio.timeout(LINE_S):
            return first + await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        raise ApiError(
            "too-large", f"a question has at most {api.MAX_QUESTION_BYTES} bytes"
        ) from None
    except TimeoutError:
        raise ApiError("too-slow", f"a question must be sent within {LINE_S:g} s") from None


def _user_of(writer: asyncio.StreamWriter) -> int:
    """Return the number of the user at the other end, as the kernel knows it."""
    raw = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    return int(struct.unpack("3i", raw)[1])


def _is_own(user: int) -> bool:
    """True for the engine's own user, and for root."""
    return user in (0, os.getuid())


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _need_own_user() -> None:
    user, name = _caller.get()
    if not _is_own(user):
        raise ApiError("not-allowed", f"{name} may not do that: only the engine's own user may")


def _origin(ask: api.Question[Any]) -> str:
    """Return by which way a question came and from whom: what the caller says, and what the kernel knows."""
    way, address, post = (*ask.via.split(" ", 2), "", "")[:3]
    known = way if re.fullmatch("[a-z][a-z0-9-]{0,19}", way) else "socket"
    return origin_text(known, _caller.get()[1], address[:100], post.replace(" ", "_")[:40])
