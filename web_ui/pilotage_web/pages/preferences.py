"""What somebody prefers: language, theme, and the post that they act for."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage_web.request import Visit, action
from pilotage_web.rights import Right
from pilotage_web.texts import LANGUAGES, mark

THEMES = ("dark", "light")


@action("/preferences", Right.SELF)
async def prefer(visit: Visit) -> Response:
    """Change what the form names, and go back to where it was sent from."""
    language, theme, post = (visit.field(name) for name in ("language", "theme", "post"))
    if (
        (language and language not in LANGUAGES)
        or (theme and theme not in THEMES)
        or (post and post not in visit.who.roles)
    ):
        raise HTTPException(422, mark("There is no such choice."))
    await visit.frame.people.prefer(visit.who, language=language, theme=theme, post=post)
    return visit.back(visit.field("next", "/"))


ROUTES = (prefer,)
