"""What is wrong, and what the engine stands on: `/health`."""

from __future__ import annotations

from msgspec import Struct

from pilotage import api
from pilotage_web.request import Visit
from pilotage_web.typed import get


class HealthAnswer(Struct):
    """Everything that is wrong now with its mend, and disk, memory and plugins."""

    report: api.HealthReport
    vitals: api.Vitals


@get("/health")
async def get_health(visit: Visit) -> HealthAnswer:
    """What is wrong now, oldest first, and what the engine stands on."""
    return HealthAnswer(await visit.ask(api.GetHealth()), await visit.ask(api.GetVitals()))


ROUTES = (get_health,)
