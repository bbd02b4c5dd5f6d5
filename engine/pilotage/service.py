"""Puts the engine together from its settings: starts it in order, reloads it, stops it in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage import api
from pilotage.adapter import Adapter, ConnectionSettings
from pilotage.model.diagnostics import RuleError, Severity
from pilotage.model.entities import EntitySpec, Kind, Rate
from pilotage.model.messages import (
    ConnectionPaced,
    Decision,
    GatewaysChanged,
    PointHandle,
    Reconnected,
)
from pilotage.ports import Clock, ConfigSwitch, DecisionRecord, LogUnusableError, Snapshot
from pilotage.runtime import malloc
from pilotage.runtime.audit.desk import AuditDesk, RuleSet, file_digest
from pilotage.runtime.audit.log import AuditLog
from pilotage.runtime.audit.process import AuditProcess
from pilotage.runtime.audit.reader import AuditReader, Wanted
from pilotage.runtime.audit.store import AUDIT_FILE
from pilotage.runtime.audit.writer import AuditWriter
from pilotage.runtime.clock import UNKEPT, ScaledClock, SystemClock, clock_state
from pilotage.runtime.collector import ShortCollections, no_collections
from pilotage.runtime.config import Settings, load_settings
from pilotage.runtime.control import ControlSocket
from pilotage.runtime.desks.rule_figures import RuleFigures
from pilotage.runtime.dispatcher import Dispatcher
from pilotage.runtime.erasure import forget_inputs
from pilotage.runtime.feed import Feed
from pilotage.runtime.flood import FloodGate
from pilotage.runtime.health import Health
from pilotage.runtime.history.file import HISTORY_FILE
from pilotage.runtime.history.recorder import Recorder
from pilotage.runtime.inbox import LIMIT, ConnectionDoor, Inbox
from pilotage.runtime.isolation.host import IsolatedAdapter
from pilotage.runtime.journal import JournalReader, SqliteJournal
from pilotage.runtime.limits import Limits
from pilotage.runtime.loop import DiskRefusesError, Pump
from pilotage.runtime.loop_watch import Hold, LoopWatch, end_process, end_with_stacks, last_stuck
from pilotage.runtime.metrics.instruments import Instruments
from pilotage.runtime.notify import Notifier
from pilotage.runtime.ownership import THE_CITY, FileOwnership
from pilotage.runtime.plugins import Catalogue, import_ahead
from pilotage.runtime.promises import Promises
from pilotage.runtime.recovery import Recovered, Recovery
from pilotage.runtime.snapshots import FileSnapshots
from pilotage.runtime.snapshotter import Snapshotter
from pilotage.runtime.supervisor import State, Supervisor
from pilotage.runtime.vitals import Vitals
from pilotage.runtime.web_process import WebProcess
from pilotage.runtime.workshop import CityPlan, LiveEngine, Workshop

if TYPE_CHECKING:
    from pilotage.runtime.metrics.parts import Parts
    from pilotage.runtime.traces import Traces

JOURNAL_FILE: Final = "journal.db"
SNAPSHOT_FOLDER: Final = "snapshots"
LONG_REPLAY: Final = 2_000  # ticks; after so many a start keeps what they came to
RETENTION_EVERY_S: Final = 300.0  # small steps: what is forgotten at once holds the writer
# A stop takes 5 s at most: the last decisions, the last orders, then the connections (`supervisor.STOP_S`).
LATE_CLOCK_S: Final = 5.0  # a start after a kill may come within the second that was recorded last
DRAIN_S: Final = 1.0
BESIDE_THE_LOOP_S: Final = 0.001
"""A thread that reads a city leaves the loop its turn after so long."""
SEND_S: Final = 1.5
GOODBYE_S: Final = 0.05
"""So long have those who listen to take note of a planned stop, before they are let go."""
STOP_AT_MOST_S: Final = 20.0  # one that hangs is ended as a loop that is stuck
STATUS_EVERY_S: Final = 5.0
WORKERS: Final = 6
"""Threads for what would block the loop: connecting, reading the rules anew, long answers."""
# How long a thread that writes may keep the interpreter while the event loop wants it. Python's own 5 ms would be added to a
# command's way at each call that gives the interpreter up.
SWITCH_S: Final = 0.0005

log = logging.getLogger("pilotage.service")


class Service:
    """A running engine with its connections."""

    def __init__(
        self,
        settings: Settings,
        workshop: Workshop,
        *,
        clock: Clock | None = None,
        reread: Callable[[], Settings] | None = None,
        audit: type[AuditLog | AuditProcess] = AuditLog,
    ) -> None:
        """Prepare a service; `start` makes it run.

        Args:
            settings: What `config.yaml` says.
            workshop: How an engine is made of it.
            clock: The engine's time; the system's by default.
            reread: Reads the settings anew at a reload; from their file by default.
            audit: Whether the audit is written by a thread of this process, or by a process of its own.
        """
        self.settings = settings
        self.health = Health()
        self.clock: Clock = SystemClock(self._jumped) if clock is None else clock
        self.supervisor = Supervisor(self.clock, self.health)
        self.web = WebProcess(self.health)
        self.journal = SqliteJournal(
            settings.storage.path / JOURNAL_FILE,
            self.health,
            sync=settings.storage.journal_sync,
            most_bytes=settings.storage.journal_most_bytes or None,
            ballast_bytes=settings.storage.ballast_bytes,
            allow_old_sqlite=settings.storage.allow_old_sqlite,
        )
        self.history: Recorder | None = None
        audit_log: AuditWriter = audit(
            settings.storage.path / AUDIT_FILE,
            self.journal.path,
            self.clock,
            self.health,
            anchor_folder=settings.audit.anchor_folder,
        )
        self.audit = AuditDesk(audit_log, self.clock)
        self._audit_log = audit_log
        self._stopped_by = ""
        self._snapshots = FileSnapshots(settings.storage.path / SNAPSHOT_FOLDER, self.health)
        self._promises = Promises(self.health)
        self.instruments = Instruments()
        self._workshop = workshop
        self._reread = reread or (lambda: load_settings(settings.file))
        self._started = self._began = self.clock.now()
        self._is_ready = False
        self._traces: Traces | None = None
        self._plan: CityPlan | None = None
        self._engine: LiveEngine | None = None
        self._inbox: Inbox | None = None
        self._pump: Pump | None = None
        self._dispatcher: Dispatcher | None = None
        self._snapshotter: Snapshotter | None = None
        self._feed: Feed | None = None
        self.rule_figures = RuleFigures(self._started)
        self._groups: tuple[str, ...] = ()
        self._gateways: tuple[str, ...] | None = ()
        self._open: dict[str, _OpenConnection] = {}
        self._paced: set[str] = set()
        self._stack = contextlib.AsyncExitStack()
        self._reloading = asyncio.Lock()
        self._stop_asked = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watch = LoopWatch(self._slow, turn=self._turn)
        self._culprit = ""  # the rule in which the engine was stuck twice
        self._limits = Limits(
            settings.engine, self.health, lambda order: self.inbox.order(order), self._turn
        )
        self._collections = ShortCollections()
        self._notifier = Notifier()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Start, and run until a signal or an order ends it.

        Raises:
            RuleError: Something is wrong with the configuration or the rules.
            OwnedElsewhereError: Another engine runs on this storage.
            LogUnusableError: The journal cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._notifier = Notifier.of_environment()
        self._watch = self._watch_of_settings()
        loop.add_signal_handler(signal.SIGHUP, self._reload_by_signal)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_by_signal, number)
        try:
            await self.start()
            self._notifier.ready()
            self._say_status()
            self._limits.start()
            if self._culprit:
                self._limits.not_again(self._culprit)
            self._look_at_threads()
            await self._stop_asked.wait()
        finally:
            self._notifier.stopping()
            self._limits.stop()
            await self.stop()
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def start(self) -> None:
        """Start every part in order; when one fails, stop those that run and raise its error."""
        try:
            with self._watch.patient(), no_collections():
                await self._start()
            self._collections.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in reverse order: no more questions, a last tick, what was decided is sent, then the connections."""
        self._is_ready = False
        for name in [name for name in self._timers if name != "beat"]:
            self._timers.pop(name).cancel()
        if self._feed is not None and self._feed.say_goodbye():
            await asyncio.sleep(GOODBYE_S)
        with self._watch.patient(STOP_AT_MOST_S):
            await self._stack.aclose()

    def stop_soon(self, by: str = "") -> None:
        """End `run`; `by` says who asks."""
        self._stopped_by = self._stopped_by or by
        self._stop_asked.set()

    async def _start(self) -> None:
        settings, stack = self.settings, self._stack
        stack.callback(gc.unfreeze)
        stack.callback(self._collections.stop)
        owner = FileOwnership(settings.storage.path)
        owner.acquire(THE_CITY)
        stack.callback(owner.release, THE_CITY)
        stack.callback(self._end_watch)
        # The pages come first: who waits for a city that takes its time to start reads so.
        stack.push_async_callback(self.web.stop)
        await self.web.start(settings)
        stack.callback(self._audit_log.close)
        self._audit_log.prepare()
        self._plan = self._read()
        for warning in self._plan.warnings:
            log.warning("%s", warning, extra={"event": "rules.warning"})
        self._tell_of_plugins(self._plan.catalogue)
        self.journal.open(THE_CITY)
        stack.callback(self.journal.close)
        self._audit_log.open(THE_CITY)
        stack.push_async_callback(self._stop_audit)
        await self.audit.started(self._rule_set(self._plan), _version())
        recovered = self._make_engine(self._plan)
        assert self._snapshotter is not None
        stack.push_async_callback(self.supervisor.stop_all)
        stack.push_async_callback(self._stop_sending)
        self._record_history()
        self.pump.subscribe(self._audit_log.committed)
        self.pump.subscribe(self.instruments.committed)
        self.pump.subscribe(self.rule_figures.take)
        self.pump.start(recovered.replay.undelivered)
        stack.push_async_callback(self._stop_ticking)
        self._snapshotter.start()
        loop, snapshotter = asyncio.get_running_loop(), self._snapshotter
        self.journal.call_on_gap(lambda: loop.call_soon_threadsafe(snapshotter.soon))
        stack.callback(self._snapshotter.stop)
        self._make_feed()
        await self._open_control()
        await self._open_metrics()
        self._trace()
        self._watch_loop()
        self._forget_old()
        await self._connect_all(settings)
        self._is_ready = True
        log.info(
            "%s is in service: %d rules, %d points, %d connections; `pilotage status` asks at %s",
            settings.site.name,
            self._plan.rules,
            len(self.engine.cells),
            len(self._open),
            settings.control.socket,
            extra={"event": "engine.in_service"},
        )

    def _read(self) -> CityPlan:
        """Read the city; from the newest snapshot, when nothing has changed since."""
        newest = self._snapshots.newest(THE_CITY)
        plan = None if newest is None else self._workshop.recall(self.settings, newest.state)
        if plan is None:
            return self._workshop.read(self.settings, None)
        log.info(
            "rules and inventory are as they were; they are taken from the snapshot",
            extra={"event": "engine.unchanged"},
        )
        return plan

    async def _connect_all(self, settings: Settings) -> None:
        """Open the connections one by one: the rules are at work already, and questions are answered in between."""
        for connection in settings.connections:
            await asyncio.sleep(0)
            self._connect(connection)
        self._tell_gateways()

    def _tell_of_plugins(self, catalogue: Catalogue) -> None:
        """Say in the health report which plugins were left out, and what Python itself ran unapproved."""
        for plugin in catalogue.broken:
            text = f"plugin {plugin.name} was left out: {plugin.why}"
            mend = "see `pilotage plugins`, then restart the engine"
            self.health.raised(f"plugin.{plugin.name}", text, mend, Severity.WARNING)
        for number, text in enumerate(catalogue.warnings):
            mend = "see `pilotage plugins verify`"
            self.health.raised(f"startup.{number}", text, mend, Severity.WARNING)

    def _make_engine(self, plan: CityPlan) -> Recovered:
        snapshots = self._snapshots
        recovery = Recovery(THE_CITY, self._workshop, self.journal, snapshots, self.health)
        recovered = recovery.recover(plan, self.clock.now())
        self._engine = recovered.engine
        self._inbox = Inbox(self.health, max(LIMIT, 2 * len(self._engine.cells)))
        self._dispatcher = Dispatcher(self._inbox.put, self.clock, self.health, self._rate_of)
        self._groups = self._workshop.group_points(self._engine)
        self._pump = Pump(
            THE_CITY,
            self._engine,
            self._inbox,
            self.journal,
            self.clock,
            self.health,
            self._dispatcher.send,
        )
        self._promises.exchange(plan.promises)
        self._pump.on_sent = self._sent
        self._snapshotter = Snapshotter(
            THE_CITY,
            snapshots,
            self._state,
            lambda: self.journal.position(THE_CITY),
            self.health,
            self.settings.storage.snapshot_every_s,
        )
        self._begin(recovered, plan)
        return recovered

    def _begin(self, recovered: Recovered, plan: CityPlan) -> None:
        """Mark the start in the journal; an engine that was read back takes note of the time, and of new rules."""
        if isinstance(self.clock, SystemClock):
            self._tell_late_clock(recovered.engine.now - self.clock.now())
            self.clock.go_on_from(recovered.engine.now)
        # A new engine began when it was made: a replay makes it at the same moment.
        self._began = now = recovered.was_at if recovered.how == "started" else self.clock.now()
        is_long = recovered.replay.ticks > LONG_REPLAY
        if (recovered.how == "carried" or is_long) and self._snapshotter is not None:
            # What was carried over cannot be replayed. And an engine that dies soon after each start would replay all that
            # came since its last snapshot, and more each time.
            self._snapshotter.take_now()
        word, rules = ("continued" if recovered.how == "continued" else "started"), plan.rules
        city = f"city {plan.city}" if recovered.how == "started" else recovered.how
        mark = ConfigSwitch(now, plan.digest, f"{word} with {rules} rules, {city}")
        self._archive(plan, now)
        self.journal.switch(THE_CITY, mark)
        if recovered.how == "started":
            return
        self._gateways = None  # what it knew then may be otherwise now
        self._workshop.resume(recovered.engine, now)
        if recovered.rules != plan.digest:
            self._workshop.adopt(recovered.engine, plan, now)

    def _archive(self, plan: CityPlan, now: float) -> None:
        """Keep the texts of the rules, before the mark that names them: what they decide can be run again later."""
        if plan.texts:
            files = {name: text.encode() for name, text in plan.texts.items()}
            self.journal.archive(plan.digest, files, now)

    def _state(self) -> Snapshot:
        """Return the state of this moment; between two ticks."""
        engine, journal = self.engine, self.journal
        state = self._workshop.dump(engine, self.plan)
        return Snapshot(
            engine.number, journal.position(THE_CITY), engine.now, self.plan.digest, state
        )

    def _rate_of(self, point: str) -> Rate | None:
        """Return how often a point may be told."""
        cell = self.engine.cells.get(point)
        return None if cell is None else cell.spec.max_rate

    def _record_history(self) -> None:
        """Record values beside the engine; it pilots the city without, too."""
        settings = self.settings
        if not settings.history.enabled:
            return
        path = settings.storage.path / HISTORY_FILE
        speed = getattr(self.clock, "speed", 1.0)
        history = Recorder(path, settings.history, settings.site.zone, self.health, speed=speed)
        try:
            history.open(self.engine.cells.known, self._began)
        except LogUnusableError as error:
            text, _, mend = str(error).partition("\n   mend: ")
            self.health.raised("history.unusable", text, mend, Severity.WARNING)
            return
        self.history = history
        self.pump.on_ticked = history.take
        self._stack.callback(history.close)

    def _make_feed(self) -> None:
        """Number the equipment for the live pages; costs nothing more until somebody listens."""
        ids = sorted(spec.id for spec in self.plan.entities)
        epoch = f"{int(self.clock.now() * 1000):x}-{os.getpid():x}"
        self._feed = Feed(epoch, self.engine, ids, self.pump, self.clock, self.health)
        self._stack.callback(self._feed.close)

    async def _open_control(self) -> None:
        control = ControlSocket(self.settings.control.socket, self, self.settings.control.mode)
        await control.open()
        self._stack.push_async_callback(control.close)

    async def _open_metrics(self) -> None:
        """Let machines read how the engine is, when that is wanted; it pilots the city without, too."""
        wanted = self.settings.metrics
        if not wanted.host:
            return
        from pilotage.runtime.metrics.door import open_door

        door = await open_door(self._parts(), wanted)
        if door is not None:
            self._stack.push_async_callback(door.close)

    def _parts(self) -> Parts:
        """Return what the metrics are read of."""
        from pilotage.runtime.metrics.parts import Parts

        return Parts(
            THE_CITY,
            _version(),
            self._started,
            self.engine,
            self.health,
            self.instruments,
            self._watch,
            self._limits,
            self.pump,
            self.inbox,
            self.dispatcher,
            self.supervisor,
            self.journal,
            self._snapshots,
            self._audit_log,
            self.history,
            lambda: {name: opened.door for name, opened in self._open.items()},
            lambda: self.plan.rules,
            lambda: self._is_ready,
        )

    def _sent(self, decision: Decision, arrived: float) -> None:
        self._promises.sent(decision, arrived)
        self.instruments.sent(decision, arrived)
        if self._traces is not None:
            self._traces.sent(decision, arrived)

    def _trace(self) -> None:
        """Trace a part of the decisions, when a collector is named; the city is piloted without, too."""
        wanted = self.settings.traces
        if not wanted.endpoint:
            return
        from pilotage.runtime.traces import Traces

        try:
            traces = Traces(wanted.endpoint, wanted.share, self.settings.site.name, _version())
        except ImportError as error:
            mend = (
                "pip install 'pilotage[otel]', or delete traces.endpoint; then restart the engine"
            )
            text = f"nothing is traced: {error}"
            self.health.raised("traces.missing", text, mend, Severity.WARNING)
            return
        self._traces = traces
        self.pump.subscribe(traces.committed)
        self._stack.push_async_callback(traces.close)

    async def _stop_ticking(self) -> None:
        self.pump.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.pump.drained()
        if self._snapshotter is not None:
            self._snapshotter.take_now()

    async def _stop_audit(self) -> None:
        await self.audit.stopped(self._stopped_by)

    def _rule_set(self, plan: CityPlan) -> RuleSet:
        """Return what the audit keeps of a plan."""
        config = file_digest(plan.settings.file)
        return RuleSet(plan.digest, config, plan.inventory, plan.rules, plan.identities)

    async def _stop_sending(self) -> None:
        if self._dispatcher is not None:
            if not await self._dispatcher.drained(SEND_S):
                log.warning(
                    "some orders were still under way after %g s",
                    SEND_S,
                    extra={"event": "orders.left"},
                )
            await self._dispatcher.close()

    # ── parts that run ───────────────────────────────────────────────────────────────────────

    @property
    def engine(self) -> LiveEngine:
        """The core."""
        assert self._engine is not None, "the service has not been started"
        return self._engine

    @property
    def views(self) -> Any:
        """What the control socket shows of the core."""
        return self._workshop.views(self.engine)

    @property
    def inbox(self) -> Inbox:
        """What waits for the next tick."""
        assert self._inbox is not None, "the service has not been started"
        return self._inbox

    @property
    def pump(self) -> Pump:
        """What runs the core."""
        assert self._pump is not None, "the service has not been started"
        return self._pump

    @property
    def dispatcher(self) -> Dispatcher:
        """What sends."""
        assert self._dispatcher is not None, "the service has not been started"
        return self._dispatcher

    @property
    def plan(self) -> CityPlan:
        """What was read and compiled last."""
        assert self._plan is not None, "the service has not been started"
        return self._plan

    # ── connections ──────────────────────────────────────────────────────────────────────────

    def _connect(self, connection: ConnectionSettings) -> None:
        """Open a connection and keep it running; one that cannot be opened stops nothing else."""
        name = connection.name
        door = ConnectionDoor(
            name,
            self.inbox,
            self.clock,
            self.health,
            self.engine.entities,
            FloodGate(
                name,
                self.inbox.put,
                self.health,
                connection.most_readings,
                connection.most_point_readings,
                time.monotonic,
            ),
        )
        try:
            factory = self.plan.catalogue.adapters[connection.factory]
            adapter = factory.open(connection, LiveSite(self.plan, self.engine, self.clock), door)
            self.dispatcher.connect(name, adapter, connection.pace)
        except Exception as error:
            log.debug("connection %s", name, exc_info=error, extra={"event": "plugin.failed"})
            self.health.count(f"faults.{name}")
            self.health.raised(
                f"connection.{name}",
                f"connection {name} was not opened: its adapter {connection.adapter} failed with"
                f" {type(error).__name__}: {error}",
                f"see {connection.place or 'config.yaml'}, then `pilotage reload`",
            )
            return
        if isinstance(adapter, IsolatedAdapter):  # it knows its targets when its process has them
            adapter.on_targets = lambda: self.dispatcher.connect(name, adapter, connection.pace)
        self._open[name] = _OpenConnection(connection, adapter, door)
        self.supervisor.start(
            name, connection.adapter, adapter, door, lambda: self._tell_again(name)
        )

    def _tell_gateways(self) -> None:
        """Tell the engine which group points are one command for all members, when these are others now."""
        gateways = tuple(point for point in self._groups if point in self.dispatcher.points)
        if gateways != self._gateways:
            self._gateways = gateways
            self.inbox.put(GatewaysChanged(gateways))

    def _tell_again(self, name: str) -> None:
        """Have the engine tell the points of a connection that came up what is wanted of them."""
        points = tuple(self.dispatcher.targets_of(name))
        self._tell_pace(name, points)
        self.inbox.put(Reconnected(points))

    def _tell_pace(self, name: str, points: tuple[str, ...]) -> None:
        """Have the engine keep what the connection may carry; again each time, since its points may have changed."""
        pace = self._open[name].settings.pace
        if pace is not None:
            self._paced.add(name)
            self.inbox.put(ConnectionPaced(name, points, pace.count, pace.per_s))
        elif name in self._paced:
            self._paced.discard(name)
            self.inbox.put(ConnectionPaced(name, (), 0))

    async def _disconnect(self, name: str) -> None:
        self.dispatcher.disconnect(name)
        await self.supervisor.stop(name)
        self._open.pop(name, None)

    async def _reconnect(self, settings: Settings) -> None:
        """Stop what is gone or changed, and open what is new or changed."""
        wanted = {connection.name: connection for connection in settings.connections}
        for name, opened in list(self._open.items()):
            if wanted.get(name) != opened.settings or self.supervisor.is_disabled(name):
                await self._disconnect(name)
        for name in [f.code.partition(".")[2] for f in self.health.findings]:
            if name not in wanted:
                self.health.cleared(f"connection.{name}")
        for name, connection in wanted.items():
            if name not in self._open:
                self._connect(connection)
        self._tell_gateways()

    # ── reload ───────────────────────────────────────────────────────────────────────────────

    async def reload(self, by: str = "engine") -> api.Reloaded:
        """Read everything anew; the rules are exchanged between two ticks, or, on any error, not at all."""
        async with self._reloading, self._notifier.reloading():
            began = time.monotonic()
            try:
                if self.journal.refusing_since is not None:
                    raise DiskRefusesError("the disk refuses records: new rules are not taken now")
                with no_collections(), _short_turns():
                    settings, plan = await asyncio.to_thread(self._read_anew)
                await self.audit.reloads(self._rule_set(plan), self.plan.digest, by)
                await asyncio.to_thread(self._archive, plan, self.clock.now())
                old, self._plan = self.plan, plan
                now = self.clock.now()
                try:
                    with self._watch.patient():
                        self._workshop.adopt(self.engine, plan, now)
                except BaseException:
                    self._plan = old
                    raise
            except Exception as error:
                return self._reload_refused(error, by)
            self.health.cleared("reload.refused")
            if plan.entities != old.entities:
                self.health.raised(
                    "reload.inventory",
                    "the inventory has changed; the running engine keeps the one that it was started with",
                    "restart the engine when the moment is quiet",
                    Severity.WARNING,
                )
            self.journal.switch(THE_CITY, ConfigSwitch(now, plan.digest, f"{plan.rules} rules"))
            self._promises.exchange(plan.promises)
            self.pump.tick_soon()
            if self._snapshotter is not None:
                self._snapshotter.soon()
            self.settings = settings
            if self.history is not None:
                self.history.exchange(settings.history)
            with self._watch.patient():
                await self._reconnect(settings)
            await self.web.exchange(settings)
            took = time.monotonic() - began
            log.info(
                "reloaded in %.2f s: %d rules", took, plan.rules, extra={"event": "rules.reloaded"}
            )
            return api.Reloaded(True, list(plan.warnings), plan.rules, took)

    def _read_anew(self) -> tuple[Settings, CityPlan]:
        settings = self._reread()
        plan = self._workshop.read(settings, self.plan.catalogue)
        adapters, wanted = plan.catalogue.adapters, plan.settings.connections
        import_ahead(adapters[c.factory] for c in wanted if not c.isolate and c.factory in adapters)
        return settings, plan

    def _reload_refused(self, error: Exception, by: str) -> api.Reloaded:
        if isinstance(error, RuleError):
            findings = [finding.render(error.sources) for finding in error.findings]
        else:
            log.error("the reload failed", exc_info=error, extra={"event": "rules.reload_failed"})
            findings = [f"the reload failed: {type(error).__name__}: {error}"]
        self.health.raised(
            "reload.refused",
            f"a reload was refused, the rules from before go on; the first of {len(findings)}"
            f" findings: {findings[0].splitlines()[0] if findings else error}",
            "run `pilotage check`, mend what it shows, and `pilotage reload`",
            Severity.WARNING,
        )
        self.audit.reload_refused(findings, by)
        return api.Reloaded(False, findings, self.plan.rules)

    # ── signals and timers ───────────────────────────────────────────────────────────────────

    def _stop_by_signal(self, number: int) -> None:
        log.info("%s: stopping", signal.Signals(number).name, extra={"event": "engine.stopping"})
        # A second one ends the process at once, for whoever cannot wait.
        asyncio.get_running_loop().remove_signal_handler(number)
        self.stop_soon("signal")

    def _reload_by_signal(self) -> None:
        task = asyncio.get_running_loop().create_task(self.reload("signal"), name="reload")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_late_clock(self, behind_s: float) -> None:
        """Say that the system's time is before what was recorded last: it was wrong then, or it is wrong now."""
        if behind_s > LATE_CLOCK_S:
            self.health.raised(
                "clock.behind",
                f"the system's time is {behind_s / 60.0:.0f} min before the last record of this engine, which counts on from"
                " there; it was wrong then, or it is wrong now",
                "set the system's clock (`timedatectl` shows whether it is kept), then restart the engine",
                Severity.WARNING,
            )

    def _see_whether_time_is_kept(self) -> None:
        """Say when no time server keeps the system's time: an hour wrong looks right from inside."""
        if not isinstance(self.clock, SystemClock):
            return
        if clock_state() == UNKEPT:
            self.health.raised(
                "clock.unkept",
                "no time server keeps the system's time: schedules and records are as right as it is",
                "start systemd-timesyncd or chrony, and see with `timedatectl` that it reaches a time server",
                Severity.WARNING,
            )
        else:
            self.health.cleared("clock.unkept")

    def _jumped(self, seconds: float) -> None:
        self.health.count("clock.jumps")
        if seconds > 0:
            log.warning(
                "the system's clock jumped %.1f s forward; the engine follows",
                seconds,
                extra={"event": "clock.jumped"},
            )
            return
        self.health.raised(
            "clock.ahead",
            f"the system's clock went back by {-seconds:.1f} s; the engine goes on counting, so that nothing"
            " happens twice, and is ahead by that much",
            "restart the engine when the system's time is right and the moment is quiet",
            Severity.WARNING,
        )

    def _watch_loop(self) -> None:
        watch, loop = self._watch, asyncio.get_running_loop()

        def beat() -> None:
            watch.beat()
            self._timers["beat"] = loop.call_later(watch.every_s, beat)

        beat()
        watch.start()
        before = last_stuck(self.settings.storage.path)
        if before is not None:
            self._culprit = before.culprit
            self.health.raised(
                "engine.was_stuck",
                before.line,
                f"report it with {self.settings.storage.path / 'stuck-before.txt'}, which says where"
                " every thread stood; a plugin that holds the loop can run with isolate: true",
                Severity.WARNING,
            )

    def _look_at_threads(self) -> None:
        """Escalate when a thread has ended that should not."""
        others = {"audit": lambda: self._audit_log.is_alive}
        if (history := self.history) is not None:
            others["history"] = lambda: history.is_alive
        folder = self.settings.storage.path
        vitals = Vitals(
            lambda: self.journal.is_alive,
            others,
            self.health,
            lambda why: end_with_stacks(why, folder),
        )
        vitals.start()
        self._stack.callback(vitals.stop)

    def _watch_of_settings(self) -> LoopWatch:
        stuck_s, alive = self.settings.engine.stuck_after_s, self._notifier.alive
        if not stuck_s:  # a loop that stands still is left to the service manager
            return LoopWatch(self._slow, alive=alive, turn=self._turn)
        return LoopWatch(self._slow, self._end_stuck, stuck_s=stuck_s, alive=alive, turn=self._turn)

    def _turn(self) -> object:
        """Return whose turn it is in the core."""
        return self.engine.turn

    def _end_watch(self) -> None:
        """Watch no more; last of all, so that a stop which hangs is seen."""
        self._watch.stop()
        if "beat" in self._timers:
            self._timers.pop("beat").cancel()

    def _say_status(self) -> None:
        """Tell the service manager in a line how the engine is, now and from time to time."""
        states = [connection.state for connection in self.supervisor.statuses]
        wrong = len(self.health.findings)
        self._notifier.status(
            f"in service: {self.plan.rules} rules, {states.count(State.UP)} of {len(states)} connections up,"
            + (f" {wrong} findings (pilotage status)" if wrong else " nothing is wrong")
        )
        self._see_whether_time_is_kept()
        loop = asyncio.get_running_loop()
        self._timers["status"] = loop.call_later(STATUS_EVERY_S, self._say_status)

    def _slow(self, hold: Hold) -> None:
        self.health.count("loop.slow")
        whose = ""
        if hold.connection:
            self.health.count(f"loop.slow.{hold.connection}")
            whose = f"connection {hold.connection}: "
        self.health.remark(
            f"loop.slow.{hold.connection}.{hold.place.rpartition(':')[0]}",
            f"{whose}{hold.place} holds the event loop for more than {hold.seconds * 1000:.0f} ms;"
            " rules wait meanwhile",
        )

    def _end_stuck(self, hold: Hold) -> None:
        end_process(hold, self.settings.storage.path)

    def _forget_old(self) -> None:
        now, storage = self.clock.now(), self.settings.storage
        oldest = self._snapshots.oldest_position(THE_CITY)
        if oldest is not None:
            self.journal.needed_after(THE_CITY, oldest)
        self.journal.forget(now - storage.journal_keep_inputs_s, now - storage.journal_keep_s)
        loop = asyncio.get_running_loop()
        task = loop.create_task(
            self.audit.forget(self.settings.audit.keep_s), name="audit-retention"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._timers["retention"] = loop.call_later(RETENTION_EVERY_S, self._forget_old)

    async def forget_inputs(self) -> int:
        """Delete the readings and orders of the journal, and the snapshots of before; returns how many snapshots.

        Raises:
            TimeoutError: No snapshot could be written, without which a restart would need them.
        """
        assert self._snapshotter is not None
        now, keep_s = self.clock.now(), self.settings.storage.journal_keep_s
        soon = self._snapshotter.soon
        return await forget_inputs(THE_CITY, self.journal, self._snapshots, soon, now, now - keep_s)

    # ── what the control socket asks ─────────────────────────────────────────────────────────

    def status(self) -> api.EngineStatus:
        """Return what runs."""
        return api.EngineStatus(
            api=api.VERSION,
            version=_version(),
            site=self.settings.site.name,
            pid=os.getpid(),
            started=self._started,
            now=self.clock.now(),
            speed=getattr(self.clock, "speed", 1.0),
            loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
            rules=self.plan.rules,
            entities=len(self.engine.entities),
            points=len(self.engine.cells),
            ticks=self.pump.ticks,
            decisions=self.pump.number,
            waiting=len(self.inbox),
            sound=self.health.is_sound,
            program=self.plan.digest,
            connections=[
                api.Connection(
                    name=c.name,
                    adapter=c.adapter,
                    state=c.state.value,
                    detail=c.detail,
                    since=c.since,
                    next_try=c.next_try,
                    failures=c.failures,
                    points=c.points,
                    heard_at=c.heard_at,
                    process=None if c.process is None else api.Process(**asdict(c.process)),
                )
                for c in self.supervisor.statuses
            ],
        )

    def health_report(self) -> api.HealthReport:
        """Return what is wrong, and the counters."""
        return api.HealthReport(
            self.health.is_sound,
            [
                api.HealthFinding(
                    code=f.code, severity=f.severity.value, text=f.text, mend=f.mend, since=f.since
                )
                for f in self.health.findings
            ],
            dict(sorted(self.health.counters.items())),
        )

    def figures(self) -> api.Figures:
        """Return how busy the engine is."""
        from pilotage.runtime.metrics.figures import figures_of

        return figures_of(self._parts())

    def decisions(
        self, since: float | None, until: float | None, after: int
    ) -> Iterable[DecisionRecord]:
        """Return decisions of the journal."""
        return self.journal.decisions(THE_CITY, since, until, after)

    @property
    def snapshot_folder(self) -> Path:
        """Where the snapshots are."""
        return self._snapshots.folder

    @property
    def journal_file(self) -> Path:
        """Where the journal is."""
        return self.journal.path

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal; called in another thread."""
        return JournalReader(self.journal.path)

    def audited(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Return rows of the audit; called in another thread."""
        return [row.as_record() for row in AuditReader(self._audit_log.path).rows(wanted)]

    @property
    def feed(self) -> Feed:
        """What is told to the live pages."""
        assert self._feed is not None, "the service has not been started"
        return self._feed

    def subscribe(self, listener: Callable[[Decision], None]) -> Callable[[], None]:
        """Have every committed decision given to a listener."""
        return self.pump.subscribe(listener)


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Have a thread that works beside the loop leave it the interpreter after 1 ms instead of 5."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(BESIDE_THE_LOOP_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@dataclass(frozen=True, slots=True)
class _OpenConnection:
    settings: ConnectionSettings
    adapter: Adapter
    door: ConnectionDoor


@dataclass(frozen=True, slots=True)
class LiveSite:
    """The running city as an adapter sees it while it binds (`pilotage.adapter.Site`)."""

    plan: CityPlan
    engine: LiveEngine
    clock: Clock
    _by_kind: dict[str, list[EntitySpec]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The site's name."""
        return self.plan.settings.site.name

    def entities(self, kind: str = "") -> Sequence[EntitySpec]:
        """Return the entities of a kind, or all, in order of id."""
        if not self._by_kind:
            for spec in sorted(self.plan.entities, key=lambda spec: spec.id):
                self._by_kind.setdefault("", []).append(spec)
                self._by_kind.setdefault(spec.kind, []).append(spec)
        return self._by_kind.get(kind, [])

    def kind(self, name: str) -> Kind | None:
        """Return a kind by name, or None."""
        return self.plan.catalogue.kinds.get(name)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """All kinds by name."""
        return self.plan.catalogue.kinds

    def point(self, id: str) -> PointHandle | None:  # noqa: A002
        """Return the live point, or None when there is none."""
        return self.engine.cells.get(id)

    def now(self) -> float:
        """Return the engine's time: deadlines and source times are in it, also in a demonstration that runs faster."""
        return self.clock.now()


def run_service(
    settings: Settings,
    workshop: Workshop,
    *,
    uvloop: bool | None = None,
    speed: float | None = None,
    start: float | None = None,
) -> None:
    """Run a service until it is told to stop.

    Args:
        settings: What `config.yaml` says.
        workshop: How an engine is made of it.
        uvloop: Use uvloop; None is as the settings say.
        speed: Run so many times as fast as real time, for demonstrations.
        start: First time of such a run, seconds since 1970.
    """
    clock = None if speed is None and start is None else ScaledClock(speed or 1.0, start)
    malloc.keep_together()
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(
        loop_factory=loop_factory(settings.engine.uvloop if uvloop is None else uvloop)
    ) as runner:
        runner.run(_run(settings, workshop, clock))


def loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop; the standard one when uvloop is not installed."""
    if uvloop:
        try:
            import uvloop as fast
        except ImportError:
            log.warning(
                "uvloop is not installed; the standard event loop is used",
                extra={"event": "engine.no_uvloop"},
            )
        else:
            return fast.new_event_loop
    return asyncio.new_event_loop


def workers() -> ThreadPoolExecutor:
    """Return the threads for what would block the loop, all of them begun.

    Begun by need they came one by one over hours, as two pieces of work happened to meet.
    """
    pool = ThreadPoolExecutor(WORKERS, "pilotage-worker")
    together = threading.Barrier(WORKERS)
    for _ in range(WORKERS):
        pool.submit(together.wait)
    return pool


async def _run(settings: Settings, workshop: Workshop, clock: Clock | None) -> None:
    asyncio.get_running_loop().set_default_executor(workers())
    await Service(settings, workshop, clock=clock, audit=AuditProcess).run()


@cache  # what runs, also after another version was installed
def _version() -> str:
    try:
        return version("pilotage")
    except PackageNotFoundError:
        return "0"
