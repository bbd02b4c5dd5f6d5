"""Users: who there is and with which roles, for admins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pilotage_web.errors import ROLE_NAMES
from pilotage_web.people.account_pages import proven
from pilotage_web.people.accounts import Account, AccountError
from pilotage_web.people.posts import ADMINISTRATION
from pilotage_web.people.records import By
from pilotage_web.request import GuardedRoute, Visit, action, page
from pilotage_web.rights import Right, Role
from pilotage_web.sight import stale
from pilotage_web.texts import mark

if TYPE_CHECKING:
    from pilotage_web.people.reception import Reception

HOME: Final = "/users"
LINK: Final = "link"

WHY_NOT: Final = {
    "unknown": mark("There is no such account."),
    "name": mark("A name has 2 to 32 small letters, digits and . _ -, a letter first."),
    "language": mark("There are no pages in this language."),
    "taken": mark("There is an account of this name already. Choose another one."),
    "disabled": mark("This account is disabled. Enable it first."),
    "post": mark("There is no such post."),
    "admin-post": mark("An administrator is one at the post of the administration, and nobody else is there."),
    "last-admin": mark("This is the last administrator. Make somebody else one first."),
    "title": mark("A token has a title of 1 to 60 signs."),
    "scopes": mark("Choose at least one right for the token."),
    "end": mark("A token ends after a year at most."),
}  # fmt: skip


def routes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the pages of the users."""
    accounts = desk.register.accounts

    @page(HOME, "users.html", Right.PEOPLE)
    async def users(visit: Visit) -> dict[str, Any]:
        return {"people": accounts.all(), "posts": _posts(desk), "role_name": _role_name(visit)}

    @action(HOME, Right.PEOPLE)
    async def add(visit: Visit) -> Response:
        proven(desk, visit)
        by, now, name = desk.by(visit), desk.now(), visit.field("name").lower()
        roles = roles_of(visit, desk)

        def work() -> str:
            accounts.add(
                name,
                roles,
                by,
                now,
                full_name=visit.field("full_name"),
                language=visit.field("language", "fr"),
            )
            return accounts.new_link(name, by, now)

        return await _with_link(desk, visit, name, work, HOME)

    @page(f"{HOME}/{{name}}", "user.html", Right.PEOPLE)
    async def user(visit: Visit) -> dict[str, Any]:
        person = _need(desk, visit)
        return {
            "person": person,
            "posts": _posts(desk),
            "role_name": _role_name(visit),
            "sessions": desk.register.sessions.of_person(person.name, desk.now()),
            "link": desk.take(visit, f"{LINK} {person.name}"),
        }

    @action(f"{HOME}/{{name}}/roles", Right.PEOPLE)
    async def roles(visit: Visit) -> Response:
        wanted = roles_of(visit, desk)
        return await changed(desk, visit, lambda n, by, t: accounts.set_roles(n, wanted, by, t))

    @action(f"{HOME}/{{name}}/link", Right.PEOPLE)
    async def link(visit: Visit) -> Response:
        proven(desk, visit)
        name, by, now = _need(desk, visit).name, desk.by(visit), desk.now()
        there = f"{HOME}/{name}"
        return await _with_link(desk, visit, name, lambda: accounts.new_link(name, by, now), there)

    return (users, add, user, roles, link, *_changes(desk))


def _changes(desk: Reception) -> Sequence[GuardedRoute]:
    """Return the actions that are a change of one account without more words."""
    accounts = desk.register.accounts
    calls: dict[str, Callable[[str, By, float], None]] = {
        "disable": accounts.disable,
        "enable": accounts.enable,
        "code-reset": accounts.drop_second,
        "remove": accounts.remove,
    }

    def made(word: str, call: Callable[[str, By, float], None]) -> GuardedRoute:
        @action(f"{HOME}/{{name}}/{word}", Right.PEOPLE)
        async def route(visit: Visit) -> Response:
            return await changed(desk, visit, call)

        return route

    return [made(word, call) for word, call in calls.items()]


def roles_of(visit: Visit, desk: Reception) -> dict[str, Role]:
    """Return the roles that a form chooses: a field `role-POST` for each post."""
    chosen = {post: visit.field(f"role-{post}") for post in desk.register.posts}
    return {post: Role(role) for post, role in chosen.items() if role in set(Role)}


async def changed(
    desk: Reception, visit: Visit, call: Callable[[str, By, float], None]
) -> Response:
    """Change an account, and go back to its page with what came of it."""
    proven(desk, visit)
    name, by, now = _need(desk, visit).name, desk.by(visit), desk.now()
    there = f"{HOME}/{name}"
    refusal = await tried(desk, visit, lambda: call(name, by, now))
    if refusal:
        return visit.back(there, refusal, "refused")
    is_there = desk.register.accounts.get(name) is not None
    return visit.back(there if is_there else HOME, visit.say("Done."))


async def tried(desk: Reception, visit: Visit, call: Callable[[], object]) -> str:
    """Carry a change out, and return why not in the visitor's language, or nothing."""
    try:
        await desk.change(call)
    except AccountError as error:
        return visit.say(WHY_NOT[error.code])
    return ""


def _with_link(
    desk: Reception, visit: Visit, name: str, work: Callable[[], str], otherwise: str
) -> Awaitable[Response]:
    """Make a one-time link, to be shown on the account's page once."""

    async def answer() -> Response:
        made: list[str] = []
        refusal = await tried(desk, visit, lambda: made.append(work()))
        if refusal:
            return visit.back(otherwise, refusal, "refused")
        address = f"{desk.site.url}/sign-in/link/{made[0]}"
        desk.show_once(visit, f"{LINK} {name}", [address])
        return visit.back(f"{HOME}/{name}")

    return answer()


def _need(desk: Reception, visit: Visit) -> Account:
    """Return the account that a page or a form is about.

    Raises:
        HTTPException: 404: there is none.
        Problem: 409: another admin has changed it since the form was made.
    """
    found = desk.register.accounts.get(visit.path("name"))
    if found is None:
        raise HTTPException(404)
    if visit.field("seen") not in ("", found.standing):
        raise stale(visit, f"{HOME}/{found.name}", found.called)
    return found


def _role_name(visit: Visit) -> Callable[[Role], str]:
    """Return what says a role in the visitor's language."""
    return lambda role: visit.say(ROLE_NAMES[role])


_ROLES: Final = (Role.VIEWER, Role.OPERATOR, Role.ENGINEER)


def _posts(desk: Reception) -> list[tuple[str, Any, tuple[Role, ...]]]:
    """Return each post with the roles that somebody can have there."""
    return [
        (id_, post, (Role.ADMIN,) if id_ == ADMINISTRATION else _ROLES)
        for id_, post in desk.register.posts.items()
    ]
