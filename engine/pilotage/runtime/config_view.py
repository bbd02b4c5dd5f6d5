"""The settings as they count, each with where it comes from; no secret is ever in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pilotage.language.loader import MapNode, Node, ScalarNode, plain
from pilotage.runtime.config import SECRET_KEYS, SETTINGS, Setting, SettingsRead

DEFAULT: Final = "default"
UNSET: Final = "not set"
NAMED: Final = ("connections.NAME.", "posts.NAME.")
"""Where the site itself chooses the names."""

# mqtt://user:password@host: what stands before the @.
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_CARRIES_SECRET: Final = re.compile(r"authorization|cookie|token|passw|secret|api[-_]?key", re.I)


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it counts.

    Attributes:
        key: Dotted, with the names of the site.
        value: As plain YAML types; None when there is none.
        origin: `default`, `not set`, `environment VARIABLE`, or `file:line`.
    """

    key: str
    value: Any
    origin: str


def effective(read: SettingsRead) -> list[Effective]:
    """Return every setting in the order of the manual; connections with their own keys, in the order of the file."""
    found: list[Effective] = []
    shown: set[str] = set()
    for setting in SETTINGS:
        table = next((each for each in NAMED if setting.key.startswith(each)), "")
        if not table:
            found.append(_plain_setting(setting, read))
        elif table not in shown:
            shown.add(table)
            found.extend(_named(read, table))
    return found


def _plain_setting(setting: Setting, read: SettingsRead) -> Effective:
    node = read.written.get(setting.key) or _in_file(read.root, setting.key)
    if node is not None:
        return Effective(setting.key, _without_secrets(setting.key, node), _origin(node))
    if not setting.default:
        return Effective(setting.key, None, UNSET)
    return Effective(setting.key, setting.default, DEFAULT)


def _in_file(root: MapNode | None, key: str) -> Node | None:
    """Return what stands under a dotted key; None when it is not there, or empty."""
    node: Node | None = root
    for word in key.split("."):
        node = node.get(word) if isinstance(node, MapNode) else None
    return None if isinstance(node, ScalarNode) and node.is_null else node


def _named(read: SettingsRead, table: str) -> Iterator[Effective]:
    """Yield the settings of what the site names itself: connections, posts."""
    word_of = table.partition(".")[0]
    listed = None if read.root is None else read.root.get(word_of)
    for name, entry in listed.entries if isinstance(listed, MapNode) else ():
        if not isinstance(entry, MapNode):
            continue
        written = {key.text: value for key, value in entry.entries}
        for key, node in written.items():
            shown = _without_secrets(key, node)
            yield Effective(f"{word_of}.{name.text}.{key}", shown, _origin(node))
        for setting in SETTINGS:
            word = setting.key.removeprefix(table)
            if setting.key.startswith(table) and setting.default and word not in written:
                default = setting.default.replace("NAME", name.text)
                yield Effective(f"{word_of}.{name.text}.{word}", default, DEFAULT)


def _origin(node: Node) -> str:
    """Return `file:line`, or the variable."""
    name = node.source.file
    return name if name.startswith("environment ") else f"{name}:{node.line}"


def _without_secrets(key: str, node: Node) -> Any:
    """Return what stands there; what is or may be a secret as `***`, a named one by its name."""
    if isinstance(node, MapNode):
        if [name.text for name, _ in node.entries] == ["secret"]:
            return f"!secret {plain(node.entries[0][1])}"
        return {name.text: _without_secrets(name.text, value) for name, value in node.entries}
    if isinstance(node, ScalarNode):
        if key in SECRET_KEYS or (_CARRIES_SECRET.search(key) and isinstance(node.value, str)):
            return node.value if key == "secrets" else "***"
        return _IN_ADDRESS.sub("***", node.value) if isinstance(node.value, str) else node.value
    return [_without_secrets(key, item) for item in node.items]
