"""What runs, and what is wrong: `/status`."""

from __future__ import annotations

from pilotage import api
from pilotage_web.request import Visit
from pilotage_web.typed import get


@get("/status")
async def status(visit: Visit) -> api.EngineStatus:
    """What runs, since when, and how its connections are."""
    return await visit.ask(api.GetStatus())


ROUTES = (status,)
