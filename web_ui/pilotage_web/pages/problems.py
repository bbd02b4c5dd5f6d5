"""What the codes of problems mean: where the `type` of each leads."""

from __future__ import annotations

from typing import Any

from pilotage_web.errors import TROUBLES
from pilotage_web.request import Visit, page
from pilotage_web.rights import Right


@page("/api/v1/problems", "problems.html", Right.OPEN)
async def problems(visit: Visit) -> dict[str, Any]:
    """Show every code."""
    return {"troubles": TROUBLES}


ROUTES = (problems,)
