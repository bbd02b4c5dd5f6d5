"""The posts of a control room: where somebody acts, and for which trades.

A site that names none has the six of a metropolitan control room. `ADMINISTRATION` is the post of admins alone: it has no
trade and no plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

ADMINISTRATION: Final = "administration"


class NamedPost(Protocol):
    """A post as the settings of a site name it."""

    @property
    def id(self) -> str:
        """Its name in roles and plans."""
        ...

    @property
    def titles(self) -> Mapping[str, str]:
        """By language."""
        ...

    @property
    def trades(self) -> Iterable[str]:
        """Whose equipment it may take."""
        ...

    @property
    def areas(self) -> Iterable[str]:
        """Where it may."""
        ...

    @property
    def phone(self) -> str:
        """Whom to call there."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """A desk in the room.

    Attributes:
        id: As plans name it in `operators:`.
        titles: What people call it, by language.
        domains: The trades whose equipment it may take by hand, as the domain plugins are called.
        phone: Whom to call there, for the text beside a refused button.
        areas: Zones to which that is limited; empty for the whole city.
    """

    id: str
    titles: dict[str, str] = field(hash=False)
    domains: frozenset[str] = frozenset()
    phone: str = ""
    areas: frozenset[str] = frozenset()

    def title(self, language: str) -> str:
        """Return what people call it in a language; its id where nobody said."""
        return next(
            (t for key in (language, "", "en", "fr") if (t := self.titles.get(key))), self.id
        )


DEFAULT_POSTS: Final = (
    Post(
        "security",
        {"en": "Security", "fr": "Sécurité"},
        frozenset({"access", "buildings", "emergency", "lighting", "security"}),
    ),
    Post(
        "police",
        {"en": "Municipal police", "fr": "Police municipale"},
        frozenset({"access", "emergency", "parking", "security"}),
    ),
    Post("video", {"en": "Video", "fr": "Vidéoprotection"}, frozenset({"security"})),
    Post(
        "traffic",
        {"en": "Traffic", "fr": "Trafic"},
        frozenset({"access", "fleet", "lighting", "parking", "signs", "traffic"}),
    ),
    Post("calls", {"en": "Call portal", "fr": "Accueil des appels"}),
    Post(
        "snow",
        {"en": "Snow", "fr": "Neige"},
        frozenset({"fleet", "lighting", "signs", "winter"}),
    ),
    Post(ADMINISTRATION, {"en": "Administration", "fr": "Administration"}),
)
"""What a site has that names none: the posts of a metropolitan control room."""

Room = Mapping[str, Post]
"""Posts by id, in the order of the room."""


def room_of(named: Iterable[NamedPost]) -> Room:
    """Return the room of a site: the posts that it names and that of the admins; the usual ones when it names none."""
    posts = [
        Post(p.id, dict(p.titles), frozenset(p.trades), p.phone, frozenset(p.areas)) for p in named
    ]
    if not posts:
        return {post.id: post for post in DEFAULT_POSTS}
    if all(post.id != ADMINISTRATION for post in posts):
        posts.append(DEFAULT_POSTS[-1])
    return {post.id: post for post in posts}
