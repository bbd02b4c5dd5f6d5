"""The accessibility statement."""

from __future__ import annotations

from pilotage_web.request import Visit, page
from pilotage_web.rights import Right


@page("/accessibility", "accessibility.html", Right.OPEN)
async def accessibility(visit: Visit) -> dict[str, str]:
    """Show the statement."""
    return {}


ROUTES = (accessibility,)
