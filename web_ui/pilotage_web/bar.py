"""The bar above every page: its links, in the order of their use at night."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilotage_web.texts import mark


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the bar; `key` follows `g` on the keyboard."""

    path: str
    text: str
    key: str


LINKS: Final = (
    Link("/", mark("Now"), "n"),
    Link("/alarms", mark("Alarms"), "a"),
    Link("/plans", mark("Plans"), "p"),
    Link("/equipment", mark("Equipment"), "e"),
    Link("/rules", mark("Rules"), "r"),
    Link("/journal", mark("Journal"), "j"),
    Link("/reports/new", mark("Report"), "s"),
    Link("/health", mark("Health"), "h"),
)


def links_of(paths: Iterable[str]) -> tuple[Link, ...]:
    """Return the links that lead somewhere."""
    known = set(paths)
    return tuple(link for link in LINKS if link.path in known)


def is_under(here: str, path: str) -> bool:
    """True when a page lies below a link."""
    return here == path or (path != "/" and here.startswith(f"{path}/"))
