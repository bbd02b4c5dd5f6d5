"""The first page, until the map stands here."""

from __future__ import annotations

from typing import Any

from pilotage import api
from pilotage_web.request import Visit, page


@page("/", "start.html")
async def start(visit: Visit) -> dict[str, Any]:
    """Show what runs."""
    return view(await visit.ask(api.GetStatus()))


def view(status: api.EngineStatus) -> dict[str, Any]:
    """Return what the page shows."""
    return {"status": status}


ROUTES = (start,)
