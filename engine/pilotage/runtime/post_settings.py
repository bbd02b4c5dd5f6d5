"""What `posts:` in `config.yaml` says: the posts of the control room, with their trades and their areas.

The pages decide by it who takes which equipment by hand; the engine itself asks nobody for a post.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pilotage.language import findings as say
from pilotage.language.loader import MapNode, Node, ScalarNode
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import EntitySpec
from pilotage.runtime import findings as site
from pilotage.runtime.forms import Report, as_map, as_text, as_texts, check_keys, shape

ADMINISTRATION: Final = "administration"
"""The post of admins, which each room has: no trade is theirs."""
KEYS: Final = ("title", "trades", "areas", "phone")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class PostSettings:
    """A desk in the room.

    Attributes:
        id: As plans name it in `operators:`, and accounts in their roles.
        titles: What people call it, by language; the key `""` is a text without one.
        trades: Whose equipment it may take by hand, each with its place.
        areas: Zones to which that is limited, each with its place; none for the whole city.
        phone: Whom to call there.
    """

    id: str
    titles: Mapping[str, str]
    trades: Mapping[str, Span] = field(default_factory=dict)
    areas: Mapping[str, Span] = field(default_factory=dict)
    phone: str = ""


def read_posts(root: MapNode, report: Report) -> tuple[PostSettings, ...]:
    """Return the posts in the order of the file; none when the file names none."""
    example = "traffic: {title: Traffic, trades: [traffic, lighting]}"
    table = as_map(root.get("posts"), "posts", report, example)
    found: list[PostSettings] = []
    for key, value in table.entries if table is not None else ():
        if not _NAME.fullmatch(key.text):
            report.add(site.bad_post(key.at, key.text))
        entry = MapNode(key.source, 1, 1, 0, 0, []) if _is_empty(value) else value
        described = as_map(entry, key.text, report, "{title: Traffic, trades: [traffic]}")
        if described is not None:
            found.append(_post(key.text, described, report))
    return tuple(found)


def _post(id_: str, entry: MapNode, report: Report) -> PostSettings:
    check_keys(entry, f'the post "{id_}"', KEYS, report)
    trades, areas = entry.get("trades"), entry.get("areas")
    if id_ == ADMINISTRATION and (node := trades or areas) is not None:
        report.add(site.trades_of_admins(node.at))
    phone = entry.get("phone")
    return PostSettings(
        id_,
        _titles(entry.get("title"), report),
        _places(trades, report),
        _places(areas, report),
        (as_text(phone, "phone", report) if phone is not None else "") or "",
    )


def _titles(node: Node | None, report: Report) -> dict[str, str]:
    """Return a title by language; one without a language has the key `""`."""
    if node is None:
        return {}
    if isinstance(node, ScalarNode):
        text = as_text(node, "title", report)
        return {"": text} if text else {}
    if not isinstance(node, MapNode):
        example = "{fr: Trafic, en: Traffic}"
        report.add(say.wrong_shape(node.at, "title", "a text, or one per language", shape(node), example))  # fmt: skip
        return {}
    texts = {key.text: as_text(value, key.text, report) for key, value in node.entries}
    for key, _ in node.entries:
        if not re.fullmatch("[a-z]{2}", key.text):
            report.add(site.bad_language(key.at, key.text))
    return {language: text for language, text in texts.items() if text}


def _places(node: Node | None, report: Report) -> dict[str, Span]:
    if node is None or _is_empty(node):
        return {}
    return {scalar.text: scalar.at for scalar in as_texts(node, "a list of names", report)}


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


# ── against the city ─────────────────────────────────────────────────────────────────────────


def check_trades(posts: Iterable[PostSettings], plugins: Iterable[str]) -> list[Finding]:
    """Return the trades that no plugin brings."""
    known = set(plugins)
    return [
        site.unknown_trade(at, trade, known)
        for post in posts
        for trade, at in post.trades.items()
        if trade not in known
    ]


def check_areas(posts: Iterable[PostSettings], entities: Iterable[EntitySpec]) -> list[Finding]:
    """Return a warning for each area in which the inventory has nothing."""
    named = [(area, at) for post in posts for area, at in post.areas.items()]
    if not named:
        return []
    known = {entity.zone for entity in entities if entity.zone}
    return [site.empty_area(at, area, known) for area, at in named if area not in known]
