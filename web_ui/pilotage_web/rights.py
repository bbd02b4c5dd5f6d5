"""Who may do what: the one table of rights by role. A role says what, a post says where."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Right(StrEnum):
    """Something that a route asks for."""

    OPEN = "open"
    """Nobody need be signed in: the sign-in itself, and what machines ask."""
    SELF = "self"
    """Whoever is signed in, about themselves."""
    SEE = "see"
    ALARMS = "alarms"
    """Acknowledge, take, shelve, comment."""
    JOURNAL = "journal"
    """Write a line, sign a handover."""
    REPORTS = "reports"
    """Take a call, open and close incidents."""
    OVERRIDE = "override"
    PLANS = "plans"
    GLASS = "glass"
    """Break the glass: act for every post for a while."""
    CHECK = "check"
    """Have rules checked that are not in service."""
    RULES = "rules"
    """Put rules into service or into shadow, reload."""
    PEOPLE = "people"
    """Users, tokens, retention."""


class Role(StrEnum):
    """What a person is at a post."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"


_EVERYBODY: Final = frozenset({Right.OPEN, Right.SELF, Right.SEE})
_DESK: Final = frozenset({Right.ALARMS, Right.JOURNAL, Right.REPORTS, Right.OVERRIDE})

TABLE: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: _EVERYBODY | {Right.CHECK},
    Role.OPERATOR: _EVERYBODY | _DESK | {Right.PLANS, Right.GLASS, Right.CHECK},
    Role.ENGINEER: _EVERYBODY | _DESK | {Right.CHECK, Right.RULES},
    # Who keeps the users has no command over the city.
    Role.ADMIN: _EVERYBODY | {Right.PEOPLE},
}


ACTING: Final = frozenset({Right.ALARMS, Right.OVERRIDE, Right.PLANS, Right.RULES})
"""What acts on the city: refused on a view that stands still."""
ORDERS: Final = ACTING | {Right.GLASS, Right.JOURNAL, Right.REPORTS}
"""What the engine carries out or writes down: refused while it is not heard."""


def rights_of(role: str) -> frozenset[Right]:
    """Return what a role may; a role that does not exist may nothing."""
    return TABLE.get(Role(role), frozenset()) if role in set(Role) else frozenset()


def roles_with(right: Right) -> list[Role]:
    """Return the roles that have a right, least first: what a refusal tells."""
    return [role for role in Role if right in TABLE[role]]
