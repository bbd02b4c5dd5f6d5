"""A JSON Schema of `config.yaml`, for editors that complete and underline while one writes; made of `SETTINGS`.

It knows shapes and words: `pilotage config check` says the rest.
"""

from __future__ import annotations

from typing import Any, Final

from pilotage.language.json_schema import DRAFT
from pilotage.runtime.config import SETTINGS, Setting
from pilotage.runtime.history.settings import BASES, RECORDS

Schema = dict[str, Any]

_DURATION: Final = r"^\s*\d+(\.\d+)?\s*[a-z]+(\s+\d+(\.\d+)?\s*[a-z]+)*\s*$"
_POSITION: Final[Schema] = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
}
_WORDS: Final[Schema] = {"type": "array", "items": {"type": "string"}}
_SECRET: Final[Schema] = {
    "type": "object",
    "properties": {"secret": {"type": "string"}},
    "required": ["secret"],
    "additionalProperties": False,
}

TYPES: Final[dict[str, Schema]] = {
    "text": {"type": ["string", "number", "boolean"]},
    "name": {"type": "string"},
    "path": {"type": "string"},
    "number": {"type": "number", "exclusiveMinimum": 0},
    "whole number": {"type": "integer", "minimum": 1},
    "time zone": {"type": "string", "examples": ["Europe/Paris"]},
    "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
    "language": {"type": "string", "pattern": "^[a-z]{2}$"},
    "position": _POSITION,
    "two positions": {"type": "array", "items": _POSITION, "minItems": 2, "maxItems": 2},
    "true or false": {"type": "boolean"},
    "duration": {"type": "string", "pattern": _DURATION, "examples": ["30 d", "2 min"]},
    "duration, or off": {"type": "string", "pattern": rf"{_DURATION}|^off$"},
    "address, or off": {"type": "string", "examples": ["127.0.0.1:9464", "off"]},
    "address": {"type": "string", "examples": ["127.0.0.1:8080"]},
    "part, or off": {
        "type": "string",
        "pattern": r"^\d+(\.\d+)? ?%$|^off$",
        "examples": ["50 %", "off"],
    },
    "size": {"type": ["string", "integer"], "examples": ["32 MB", "4 GB"]},
    "file mode": {"type": ["string", "integer"], "examples": ["0600", "0660"]},
    "list of names": {"anyOf": [{"type": "string"}, _WORDS]},
    "list of trades": {"anyOf": [{"type": "string"}, _WORDS]},
    "list of zones": {"anyOf": [{"type": "string"}, _WORDS]},
    "telephone": {"type": "string"},
    "text, or one per language": {
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ]
    },
    "list of paths": {"anyOf": [{"type": "string"}, _WORDS]},
    "list of names, or all": {"anyOf": [{"type": "string"}, _WORDS]},
    "list of entries": {"type": "array", "items": {"type": ["string", "object"]}},
}
"""How each type of a setting is written; one that is a choice of words is read from its own text."""


def config_schema() -> Schema:
    """Return the schema, draft 2020-12."""
    root: Schema = _closed()
    for setting in SETTINGS:
        if setting.key.startswith(("connections.", "posts.")):
            continue
        _put(root, setting.key.split("."), _of(setting))
    root["properties"]["connections"] = _connections()
    root["properties"]["posts"] = _posts()
    root["properties"]["history"]["properties"]["points"] = _history_points()
    return {
        "$schema": DRAFT,
        "title": "pilotage settings",
        "description": "config.yaml: the site and everything that it is made of.",
        **root,
    }


def _closed() -> Schema:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def _put(branch: Schema, path: list[str], schema: Schema) -> None:
    """Put the schema of a key into the tree, with the maps above it."""
    for word in path[:-1]:
        branch = branch["properties"].setdefault(word, _closed())
    branch["properties"][path[-1]] = schema


def _of(setting: Setting) -> Schema:
    """Return the schema of a setting; its sentence and its default are what an editor shows."""
    found = dict(TYPES.get(setting.type) or _choice(setting.type))
    default = f" Default: {setting.default}." if setting.default else ""
    return {**found, "description": setting.doc + default}


def _choice(type_: str) -> Schema:
    """Return the schema of `text or json`, `debug, info, warning or error`; of anything else, everything."""
    words = type_.replace(" or ", ", ").split(", ")
    return {"enum": words} if len(words) > 1 and all(word.isidentifier() for word in words) else {}


def _connections() -> Schema:
    """Return the schema of connections: what all have in common; the rest is their adapter's."""
    entry: Schema = {
        "type": "object",
        "properties": {},
        "required": ["adapter"],
        "additionalProperties": {"anyOf": [_SECRET, {}]},
    }
    for setting in SETTINGS:
        word = setting.key.removeprefix("connections.NAME.")
        if word != setting.key and word != "*":
            entry["properties"][word] = _of(setting)
    return {
        "type": "object",
        "description": "Which adapter reaches which devices, by a name of your choice.",
        "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9_-]*$"},
        "additionalProperties": entry,
    }


def _posts() -> Schema:
    """Return the schema of posts."""
    entry = _closed()
    for setting in SETTINGS:
        word = setting.key.removeprefix("posts.NAME.")
        if word != setting.key:
            entry["properties"][word] = _of(setting)
    return {
        "type": "object",
        "description": "The posts of the control room, by a name of your choice.",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,39}$"},
        "additionalProperties": {"anyOf": [entry, {"type": "null"}]},
    }


def _history_points() -> Schema:
    entry = _closed()
    for word in ("match", "kind", "point", "zone", "purpose"):
        entry["properties"][word] = {"type": "string"}
    entry["properties"] |= {
        "record": {"enum": list(RECORDS)},
        "deadband": {"type": ["string", "number"]},
        "at_most_every": TYPES["duration"],
        "basis": {"enum": list(BASES)},
        "keep": TYPES["duration"],
    }
    return {
        "type": "array",
        "items": entry,
        "description": "What is recorded otherwise than by default; the first entry that fits a point decides.",
    }
