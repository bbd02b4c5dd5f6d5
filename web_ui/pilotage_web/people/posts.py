"""The posts of a control room: where somebody acts, and for which trades.

A site that names none has the six of a metropolitan control room. `ADMINISTRATION` is the post of admins alone: it has no
trade and no plan.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

ADMINISTRATION: Final = "administration"


@dataclass(frozen=True, slots=True)
class Post:
    """A desk in the room.

    Attributes:
        id: As plans name it in `operators:`.
        titles: What people call it, by language.
        domains: The trades whose equipment it may take by hand, as the domain plugins are called.
        phone: Whom to call there, for the text beside a refused button.
    """

    id: str
    titles: dict[str, str] = field(hash=False)
    domains: frozenset[str] = frozenset()
    phone: str = ""

    def title(self, language: str) -> str:
        """Return what people call it in a language; its id where nobody said."""
        return self.titles.get(language) or self.titles.get("en") or self.id


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

ROOM: Final = {post.id: post for post in DEFAULT_POSTS}
"""The same by id, in the order of the room."""
