"""A JSON Schema of rule files, for editors that complete and underline while one writes; made of what the plugins bring.

It knows shapes and words, no expressions: `pilotage check` says the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pilotage.model.entities import CallSpec, EntitySpec, Function, Kind
from pilotage.model.priorities import RESERVED, Priority

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_NAME: Final = "^[a-z][a-z0-9_-]*$"
_VARIABLE: Final = "^[a-z][a-z0-9_]*$"
_SCALAR: Final = ["string", "number", "boolean"]


def rule_file_schema(
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function],
    calls: Mapping[str, CallSpec],
    inventory: Sequence[EntitySpec] | None = None,
) -> Schema:
    """Return the schema, draft 2020-12.

    Args:
        kinds: From the plugins, by name; the `kind` of a set is one of them.
        functions: From the plugins, by name; named in the description of expressions.
        calls: From the plugins, by name; a `call` step asks for one of them.
        inventory: Of the site; tells with each kind how many there are.
    """
    return {
        "$schema": DRAFT,
        "title": "pilotage rules",
        "description": "Rules of a city, their plans, alarms, invariants and tests.",
        **_closed(
            {
                "version": _of({"const": 1}, "Of the language; 1."),
                "derive": _names("derive", "Named values, per entity or for the city.", _VARIABLE),
                "rules": _names("rule", "Rules: `while` and `hold`, or `when` and `do`."),
                "plans": _names("plan", "Plans with levels, for snow, events, floods."),
                "alarms": _names("alarm", "Alarms after ISA-18.2."),
                "invariants": _names("invariant", "What must never be wanted of a point."),
                "tests": _names("test", "Tests; their names are sentences.", "^.+$"),
            }
        ),
        "$defs": {
            **_words(kinds, functions, calls, inventory),
            **_pieces(),
            **_declarations(),
            **_steps(),
            **_tests(),
        },
    }


# ── how schemas are written here ─────────────────────────────────────────────────────────────


def _ref(name: str, description: str = "") -> Schema:
    found: Schema = {"$ref": f"#/$defs/{name}"}
    return _of(found, description)


def _of(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema


def _closed(properties: Mapping[str, Schema], *required: str, what: str = "") -> Schema:
    found: Schema = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    if required:
        found["required"] = list(required)
    return _of(found, what)


def _names(definition: str, description: str, pattern: str = _NAME) -> Schema:
    """Return a section: a map of names to declarations, or nothing yet."""
    return {
        "type": ["object", "null"],
        "description": description,
        "patternProperties": {pattern: _ref(definition)},
        "additionalProperties": False,
    }


def _list(definition: str, description: str = "") -> Schema:
    return _of({"type": "array", "items": _ref(definition), "minItems": 1}, description)


def _choice(description: str, *words: str) -> Schema:
    return {"enum": list(words), "description": description}


# ── words that the plugins bring ─────────────────────────────────────────────────────────────


def _words(
    kinds: Mapping[str, Kind],
    functions: Mapping[str, Function],
    calls: Mapping[str, CallSpec],
    inventory: Sequence[EntitySpec] | None,
) -> dict[str, Schema]:
    counts = None if inventory is None else Counter(spec.kind for spec in inventory)
    listed = sorted(kinds)
    own = "; ".join(_signature(function) for _, function in sorted(functions.items()))
    return {
        "kind": {
            "enum": listed,
            "enumDescriptions": [_about(kinds[name], counts) for name in listed],
            "description": "A kind of equipment, place or vehicle; `pilotage kinds` shows them all.",
        },
        "call": {
            "enum": sorted(calls),
            "enumDescriptions": [calls[name].doc for name in sorted(calls)],
            "description": "What a service may be asked for.",
        },
        "expression": {
            "type": [*_SCALAR, "array"],
            "description": "An expression: `segment.traffic.flow < 60 veh/h and is_night`. "
            "Functions: avg min max sum count p95 rate changes any all known age wanted names abs round clamp distance "
            f"inside nearest approaching eta{'; of plugins: ' + own if own else ''}.",
        },
    }


def _about(kind: Kind, counts: Mapping[str, int] | None) -> str:
    text = f"{kind.title}: {', '.join(point.name for point in kind.points)}"
    return text if counts is None else f"{text} ({counts.get(kind.name, 0)} in this city)"


def _signature(function: Function) -> str:
    names = ", ".join(parameter.name for parameter in function.parameters)
    return f"{function.name}({names})" + (f": {function.doc}" if function.doc else "")


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def _pieces() -> dict[str, Schema]:
    levels = [p.word for p in Priority if p not in RESERVED]
    numbers = [int(p) for p in Priority if p not in RESERVED]
    template = _closed({"template": {"type": "string"}}, "template", what="A Jinja2 template.")
    word = {"type": "string", "pattern": r"^[\w.@+-]+$"}
    return {
        "duration": {
            "type": "string",
            "pattern": r"^\s*[0-9.]",
            "description": "A length of time with its unit: 90 s, 2 min 30 s, 7 d.",
        },
        "distance": {"type": "string", "pattern": r"^\s*[0-9.]", "description": "150 m, 2 km."},
        "word": word,
        "words": {"anyOf": [word, {"type": "array", "items": word, "minItems": 1}]},
        "title": {
            "description": "For people: a text, or one per language: {fr: …, en: …}.",
            "anyOf": [
                {"type": _SCALAR},
                {
                    "type": "object",
                    "patternProperties": {"^[a-z]{2}$": {"type": _SCALAR}},
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            ],
        },
        "text": {
            "description": "A text for people; expressions stand in braces.",
            "anyOf": [{"type": _SCALAR}, template],
        },
        "value": {
            "description": "A value, or an expression that yields one.",
            "anyOf": [_ref("expression"), template],
        },
        "set": {
            "description": "A set of entities, or an expression that yields one.",
            "anyOf": [
                {"type": "string"},
                _closed(
                    {
                        "kind": _ref("kind"),
                        "where": _ref("expression", "Which of them."),
                        "within": _ref("distance", "How far from `of` at the most."),
                        "of": _ref("expression", "What the distance is measured from."),
                    },
                    "kind",
                ),
            ],
        },
        "for_each": {
            "type": "object",
            "description": "Variables, each with the set that it runs over.",
            "patternProperties": {_VARIABLE: _ref("set")},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "named_values": {
            "type": "object",
            "additionalProperties": {"anyOf": [_ref("value"), _ref("set")]},
            "minProperties": 1,
        },
        "priority": {
            "enum": [*levels, *numbers, *map(str, numbers)],
            "description": "The level of the priority array: 1 life_safety_manual is the most urgent, 16 base the least.",
        },
        "severity": {"enum": ["low", "medium", "high", "critical"]},
        "if_unknown": _choice(
            "What happens while the condition is unknown.", "release", "hold", "act"
        ),
        "ramp": _closed(
            {key: {"anyOf": [_ref("duration"), {"const": 0}]} for key in ("up", "down")},
            what="How long a change may take.",
        ),
        "expect": _closed(
            {
                "status": _ref("words", "Answers that are taken for a yes."),
                "within": _ref("duration"),
                "retry": {"type": "integer", "minimum": 0},
            },
            what="How what was sent is verified.",
        ),
        "steps": _list("step"),
    }


# ── declarations ─────────────────────────────────────────────────────────────────────────────


def _declarations() -> dict[str, Schema]:
    head = {
        "title": _ref("title"),
        "owner": _ref("word", "Who answers for it."),
    }
    each = {"for_each": _ref("for_each")}
    return {
        "derive": _closed(
            {
                **head,
                **each,
                "value": _ref("expression"),
                "coverage": {
                    "type": "string",
                    "description": "With less good data than this it is unknown: 80 %.",
                },
                "unit": {"type": "string", "description": "The unit that it is shown in."},
            },
            "value",
        ),
        "rule": _rule(head, each),
        "demand": _demand(),
        "plan": _plan(head),
        "level": _level(),
        "alarm": _closed(
            {
                **head,
                **each,
                "raise_while": _ref("expression"),
                "latched": {"type": "boolean", "description": "Stays until a person resets it."},
                "on_delay": {"anyOf": [_ref("duration"), {"const": 0}]},
                "off_delay": {"anyOf": [_ref("duration"), {"const": 0}]},
                "severity": _ref("severity"),
                "shelve_at_most": _ref("duration"),
                "out_of_service": _closed(
                    {"by": _ref("words"), "at_most": _ref("duration")}, "by", "at_most"
                ),
                "suppress_while": _ref("expression"),
                "if_unknown": _ref("if_unknown"),
                "text": _ref("text"),
            },
            *("title", "owner", "raise_while"),
        ),
        "invariant": _closed(
            {
                **head,
                **each,
                "never": _ref("expression", "What must not become true, by any order."),
                "otherwise": _closed(
                    {"set": _ref("expression"), "to": _ref("value")},
                    *("set", "to"),
                    what="The safe value that replaces a forbidden one.",
                ),
                "assume": {
                    "anyOf": [
                        _ref("expression"),
                        {"type": "array", "items": _ref("expression"), "minItems": 1},
                    ]
                },
                "if_unknown": _ref("if_unknown"),
            },
            *("title", "owner", "never", "otherwise"),
        ),
    }


def _rule(head: Mapping[str, Schema], each: Mapping[str, Schema]) -> Schema:
    durations = {
        "for": "It must be true this long.",
        "keep": "It stays this long after.",
        "at_most": "It holds this long at the most, then is spent until the condition was false once.",
        "unknown_after": "Unknown counts after this time only.",
        "hold_at_most": "The longest that if_unknown: hold holds.",
        "respond_within": "A promise: checked before loading, measured in service.",
    }
    rule = _closed(
        {
            **head,
            "description": {"type": "string"},
            "enabled": {"type": "boolean", "description": "false turns the rule off."},
            "mode": _choice("shadow: evaluated and recorded, never sent.", "live", "shadow"),
            **each,
            "while": _ref("expression", "Holds as long as this is true."),
            "when": _ref("expression", "An event, which starts a run of `do`."),
            "until": _ref("expression", "Leaves when this is true, instead of `not while`."),
            "unless": {
                "anyOf": [
                    _ref("expression"),
                    {"type": "array", "items": _ref("expression"), "minItems": 1},
                ],
                "description": "Exceptions.",
            },
            "if": _ref("expression", "Checked at the moment of `when`."),
            **{key: _ref("duration", text) for key, text in durations.items()},
            "if_unknown": _ref("if_unknown"),
            "cooldown": {
                "description": "Rest after a release.",
                "anyOf": [
                    _ref("duration"),
                    _closed({"after": _ref("duration"), "per": _ref("words")}, "after"),
                ],
            },
            "runs": {
                "type": "string",
                "description": "one, one per X, restart, queue N, parallel N.",
            },
            "if_interrupted": _choice("After a restart.", "resume", "restart", "abandon"),
            "max_late": {"anyOf": [_ref("duration"), {"const": 0}]},
            "hold": _list("demand", "What is wanted while it holds."),
            "do": _list("step", "What is done, step by step."),
        },
        *("title", "owner"),
    )
    rule["oneOf"] = [{"required": ["while", "hold"]}, {"required": ["when", "do"]}]
    return rule


def _demand() -> Schema:
    demand = _closed(
        {
            "each": _ref("for_each", "One demand for each of a set."),
            "set": _ref("expression", "A point."),
            "to": _ref("value", "What is wanted of it."),
            "request": _ref("expression", "A point that takes requests."),
            "for": _ref("expression", "The entity that the request is for."),
            "with": _ref("named_values", "Sent with the request."),
            "priority": _ref("priority"),
            "ramp": _ref("ramp"),
            "expect": _ref("expect"),
            "on_failure": _ref("steps"),
        }
    )
    demand["oneOf"] = [{"required": ["set", "to"]}, {"required": ["request", "for"]}]
    return demand


def _plan(head: Mapping[str, Schema]) -> Schema:
    parameter = _closed(
        {
            "type": {
                "type": "string",
                "pattern": r"^(count|percent|number|text|boolean|duration|set of [a-z]\w*)$",
            },
            "default": {"anyOf": [_ref("value"), _ref("set")]},
            "min": _ref("value"),
            "max": _ref("value"),
        },
        *("type", "default"),
    )
    durations = ("for", "step_down_after", "manual_expires", "review_every")
    activation = _closed(
        {
            "calendar": _ref("expression", "True while the calendar asks for level 1."),
            **{key: _ref("duration") for key in durations},
            "if_unknown": _ref("if_unknown"),
            "operators": _ref("words", "Roles that may set the level by hand."),
            "confirm": _closed(
                {
                    "from_level": {"type": "integer", "minimum": 1},
                    "by": _ref("words"),
                    "within": _ref("duration"),
                    "else": _choice("When nobody answers.", "escalate", "refuse", "activate"),
                },
                *("from_level", "by", "within"),
            ),
            "two_people": {"type": "boolean"},
            "api": {"type": "boolean"},
        }
    )
    return _closed(
        {
            **head,
            "exclusive_group": _ref("word", "Of these plans one runs at a time."),
            "priority": _ref("priority"),
            "parameters": {
                "type": "object",
                "patternProperties": {_VARIABLE: parameter},
                "additionalProperties": False,
                "minProperties": 1,
            },
            "activation": activation,
            "levels": _list("level", "From the lowest; a higher one includes those below."),
        },
        *("title", "owner", "levels"),
    )


def _level() -> Schema:
    item = _closed(
        {"text": _ref("text"), "by": _ref("word"), "within": _ref("duration")},
        *("text", "by", "within"),
    )
    return _closed(
        {
            "level": {"type": "integer", "minimum": 1},
            "name": _ref("word"),
            "enter": _ref("expression", "The plan enters this level by itself while this is true."),
            "hold": _list("demand"),
            "on_enter": _ref("steps"),
            "on_leave": _ref("steps"),
            "checklist": {"type": "array", "items": item, "minItems": 1},
            "enable": _ref("words", "Rules that run only while the plan lends them."),
        },
        *("level", "name"),
    )


# ── steps ────────────────────────────────────────────────────────────────────────────────────


def _steps() -> dict[str, Schema]:
    verified = {"expect": _ref("expect"), "on_failure": _ref("steps")}
    incident = {
        "as": {"type": "string", "pattern": _VARIABLE},
        "type": _ref("word"),
        "severity": _ref("word"),
        "title": _ref("text"),
        "location": _ref("expression"),
        "one_per": _ref("expression"),
    }
    notify = {
        "to": _ref("words"),
        "text": _ref("text"),
        "link": _ref("expression"),
        "acknowledge_within": _ref("duration"),
        "else": _ref("steps", "When nobody acknowledges."),
    }
    alarm = {"name": _ref("word"), "severity": _ref("severity"), "text": _ref("text")}
    plan = {"level": _ref("expression"), "reason": _ref("text")}
    set_step = _closed(
        {
            "set": _ref("expression", "A point."),
            "to": _ref("value"),
            "priority": _ref("priority"),
            "until": _ref("expression", "Stands until this is true."),
            "at_most": _ref("duration", "Stands this long at the most."),
            "ramp": _ref("ramp"),
            **verified,
        },
        *("set", "to"),
    )
    set_step["anyOf"] = [{"required": ["until"]}, {"required": ["at_most"]}]
    steps = [
        set_step,
        _closed({"call": _ref("call"), "with": _ref("named_values"), **verified}, "call"),
        _closed({"notify": _closed(notify, "to", "text")}, "notify"),
        _closed({"open_incident": _closed(incident, "type", "severity", "title")}, "open_incident"),
        _closed({"note": _ref("text"), "on": _ref("expression")}, "note"),
        _closed({"let": _ref("named_values", "Names for later steps.")}, "let"),
        _closed(
            {"if": _ref("expression"), "then": _ref("steps"), "else": _ref("steps")}, "if", "then"
        ),
        _closed(
            {"for_each": _ref("for_each"), "together": {"type": "boolean"}, "do": _ref("steps")},
            *("for_each", "do"),
        ),
        _closed({"wait": _ref("duration")}, "wait"),
        _closed(
            {
                "wait_for": _ref("expression"),
                "timeout": _ref("duration"),
                "else": _ref("steps", "When the time is over."),
            },
            "wait_for",
        ),
        _closed({"plan": _ref("word"), **plan}, "plan", "level"),
        _closed({"plan": _closed({"name": _ref("word"), **plan}, "name", "level")}, "plan"),
        _closed({"alarm": _closed(alarm, *alarm)}, "alarm"),
    ]
    return {"step": {"description": "One step of a story.", "oneOf": steps}}


# ── tests ────────────────────────────────────────────────────────────────────────────────────


def _tests() -> dict[str, Schema]:
    anything = {"type": _SCALAR}
    entity = {
        "type": "object",
        "description": "Its kind, and first values by point.",
        "properties": {"kind": _ref("kind")},
        "required": ["kind"],
        "additionalProperties": {"anyOf": [anything, {"type": "array", "items": anything}]},
    }
    device = {
        "anyOf": [
            {"enum": ["obey", "ignore", "lie"]},
            {"type": "string", "pattern": r"^slow:\s*[0-9]"},
            _closed({"slow": _ref("duration")}, "slow"),
        ],
        "description": "obey (the default), ignore, slow: 5 s, lie.",
    }
    return {
        "test": _closed(
            {
                "use": _ref("words", "Rules, plans, alarms and invariants under test."),
                "clock": {
                    "type": "string",
                    "pattern": r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2})?$",
                    "description": "When it begins, in city time: 2026-01-15 23:00.",
                },
                "world": {"type": "object", "additionalProperties": entity, "minProperties": 1},
                "past": {
                    "type": "array",
                    "description": "Values that lasted: - seg-12.traffic.flow: 40 veh/h for 20 min.",
                    "items": {
                        "type": "object",
                        "additionalProperties": {"type": "string", "pattern": r"\sfor\s"},
                    },
                },
                "devices": {"type": "object", "additionalProperties": device},
                "steps": _list("moment"),
            },
            "steps",
        ),
        "moment": _closed(
            {
                "at": {"anyOf": [_ref("duration"), {"const": 0}]},
                "set": {
                    "type": "object",
                    "description": "Readings; unavailable for a lost one.",
                    "additionalProperties": {"anyOf": [anything, {"type": "array"}]},
                    "minProperties": 1,
                },
                "orders": {
                    "type": "array",
                    "description": "Orders of people: plan, override, release, alarm, answer, acknowledge.",
                    "items": {"type": "object"},
                },
                "expect": _list("expectation"),
            },
            "at",
        ),
        "expectation": {
            "oneOf": [
                _closed(
                    {"point": {"type": "string"}, "wanted": anything, "reported": anything, "by": anything,
                     "priority": {"type": ["string", "integer"]}},
                    "point",
                ),
                _closed({"rule": anything, "for": _ref("words"), "state": anything}, "rule", "state"),
                _closed({"sent": {"anyOf": [{"const": "nothing"}, {"type": "array", "items": {"type": "string"}}]}},
                        "sent"),
                _closed(
                    {"plan": anything, "for": _ref("words"), "state": anything, "level": anything}, "plan"
                ),
                *(
                    _closed({what: anything, "for": _ref("words"), "state": anything}, what, "state")
                    for what in ("alarm", "incident", "value")
                ),
            ]
        },
    }  # fmt: skip
