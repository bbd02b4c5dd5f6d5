"""Answers what people ask of plans, alarms, incidents and the log of the room, and takes down what they write there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pilotage import api
from pilotage.api import ApiError
from pilotage.core.progress import STANDINGS, Progress, follow
from pilotage.runtime import act_views
from pilotage.runtime.alarm_rates import AlarmCounts
from pilotage.runtime.audit.desk import NOTES, NotRecordedError
from pilotage.runtime.audit.entries import told
from pilotage.runtime.previews import Previews, in_slices

LONGEST_NOTE: Final = 4_000
MOST_POINTS: Final = 500


class ActDesk:
    """The questions of the plans, alarms, incidents, journal and intake pages."""

    def __init__(self, service: Any, origin: Callable[[api.Question[Any]], str]) -> None:
        self._service = service
        self._origin = origin
        self._previews = Previews()
        self._counts: AlarmCounts | None = None
        self.answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.PreviewPlan: self._preview,
            api.GetPlan: self._plan,
            api.ListPlans: self._plans,
            api.ListPlanPoints: self._plan_points,
            api.ListAlarms: self._alarms,
            api.GetAlarmRates: self._rates,
            api.ListIncidents: self._incidents,
            api.ListOverrides: self._overrides,
            api.ListGlass: self._glass,
            api.WriteNote: self._write,
        }

    def begin(self) -> None:
        """Count alarms from now on."""
        self._counts = AlarmCounts(self._service.clock.now())
        self._service.subscribe(self._counts.take)

    def _engine(self, room: str) -> Any:
        """Return the core, which must have a room.

        Raises:
            ApiError: It has not.
        """
        engine = self._service.engine
        if not hasattr(engine, room):
            raise ApiError("not-available", f"this engine does not show its {room}")
        return engine

    # ── plans ────────────────────────────────────────────────────────────────────────────────

    async def _plans(self, _: api.ListPlans) -> list[api.Plan]:
        plans = self._engine("plans").plans.all
        return [act_views.plan_of(plan) for _, plan in sorted(plans.items())]

    async def _plan(self, ask: api.GetPlan) -> api.PlanDetail:
        engine, plan = self._found(ask.plan)
        progress = Progress()
        await in_slices(follow(engine, plan, progress))
        return act_views.plan_detail(engine, plan, progress)

    async def _plan_points(self, ask: api.ListPlanPoints) -> api.PlanPoints:
        engine, plan = self._found(ask.plan)
        if ask.standing and ask.standing not in STANDINGS:
            raise ApiError("bad-question", f'"{ask.standing}" is none of {", ".join(STANDINGS)}')
        listing = act_views.PlanListing(ask.standing)
        await in_slices(listing.steps(engine, plan))
        return listing.page(engine, ask.after, max(1, min(ask.limit, MOST_POINTS)))

    def _found(self, name: str) -> tuple[Any, Any]:
        """Return the core and one of its plans.

        Raises:
            ApiError: There is no such plan.
        """
        engine = self._engine("plans")
        plan = engine.plans.all.get(name)
        if plan is None:
            raise ApiError("unknown", f'there is no plan "{name}"', "`pilotage plan` lists them")
        return engine, plan

    async def _preview(self, ask: api.PreviewPlan) -> api.PlanPreview:
        try:
            return await self._previews.ask(
                self._engine("plans"), ask.plan, ask.level, fresh=ask.fresh
            )
        except LookupError as error:
            raise ApiError("unknown", str(error), "`pilotage plan` lists them") from error

    # ── alarms, incidents ────────────────────────────────────────────────────────────────────

    async def _alarms(self, ask: api.ListAlarms) -> list[api.Alarm]:
        engine = self._engine("alarms")
        return act_views.alarms_of(engine, all_of_them=ask.all, trade_of=self._trade_of)

    def _trade_of(self, kind: str) -> str:
        return str(self._service.plan.catalogue.origins.get(f"kind {kind}", ""))

    async def _rates(self, _: api.GetAlarmRates) -> api.AlarmRates:
        now, counts = self._service.clock.now(), self._counts
        if counts is None:
            return api.AlarmRates(since=now, at=now)
        engine = self._engine("alarms")
        owners = act_views.owners(engine)
        spans = [counts.within(seconds, now) for seconds in (600.0, 3_600.0, 86_400.0)]
        rates = [
            api.AlarmRate(
                title=name,
                titles=act_views.alarm_titles(engine, name),
                owner=owners.get(name, ""),
                last_10_min=spans[0].get(name, 0),
                last_hour=spans[1].get(name, 0),
                last_day=day,
            )
            for name, day in spans[2].items()
        ]
        rates.sort(key=lambda rate: (-rate.last_day, rate.title))
        return api.AlarmRates(since=counts.since, at=now, rates=rates)

    async def _incidents(self, ask: api.ListIncidents) -> list[api.Incident]:
        return act_views.incidents_of(self._engine("stories"), all_of_them=ask.all)

    async def _overrides(self, _: api.ListOverrides) -> list[api.OverrideShown]:
        found: list[api.OverrideShown] = []
        await in_slices(act_views.overrides_of(self._engine("arbiter"), found))
        return sorted(found, key=lambda override: override.point)

    async def _glass(self, _: api.ListGlass) -> list[api.BrokenGlass]:
        return [
            api.BrokenGlass(
                person=b.person, post=b.post, reason=b.reason, since=b.since, until=b.until
            )
            for b in self._engine("glass").glass.broken.values()
        ]

    # ── the log of the room ──────────────────────────────────────────────────────────────────

    async def _write(self, ask: api.WriteNote) -> api.Recorded:
        if ask.action not in NOTES:
            raise ApiError("bad-order", f'"{ask.action}" is none of {", ".join(NOTES)}')
        for name, text in (("text", ask.text), ("person", ask.person)):
            if not text.strip():
                raise ApiError("bad-order", f"a line needs a {name}")
        if len(ask.text) > LONGEST_NOTE:
            raise ApiError("bad-order", f"a line has at most {LONGEST_NOTE} characters")
        people = told({"person": ask.person, "reason": ask.text})
        try:
            row = await self._service.audit.note(
                ask.action, ask.about, ask.post, people, self._origin(ask)
            )
        except NotRecordedError as error:
            raise ApiError("not-recorded", str(error), "write it again later") from error
        self._service.feed.touch("journal")
        return api.Recorded(row)
