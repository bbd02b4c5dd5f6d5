"""Every message of the front half of the language, one function each, with its mend.

E100 to E109 speak of YAML, E110 to E149 of keys and values, E150 to E199 of expressions. What the checker says
lives in `check_findings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from pilotage.model.diagnostics import Finding, Severity, Span

UNKNOWN_UNIT = "E159"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"?` for the nearest known word, or an empty text."""
    nearest = nearest_word(word, known)
    return f'did you mean "{nearest}"?' if nearest else ""


def nearest_word(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty text."""
    return _nearest(word[:60], tuple(known))


@lru_cache(maxsize=4096)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    exact = [name for name in known if name.lower() == word.lower()]
    matches = exact or get_close_matches(word, known, n=1, cutoff=0.6)
    return matches[0] if matches else ""


def _error(code: str, at: Span, message: str, label: str = "", mend: str = "") -> Finding:
    return Finding(code, Severity.ERROR, at, message, label, mend)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _shown(text: str) -> str:
    """Return what was written, cut to a length that a line can bear."""
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 60 else one_line[:57] + "..."


# ── E100 to E109: YAML ───────────────────────────────────────────────────────────────────────


def alias(at: Span, name: str) -> Finding:
    """Return the finding for `*name`."""
    return _error(
        "E106",
        at,
        f'"{_shown(name)}" is a YAML alias; rule files have none',
        "",
        "write the value again where it is needed"
        " (or put it in quotes if it is a text that begins with *)",
    )


def anchor(at: Span, name: str) -> Finding:
    """Return the finding for `&name`."""
    return _error(
        "E106",
        at,
        f'"{_shown(name)}" is a YAML anchor; rule files have none',
        "",
        "remove it and write the value again where it is needed",
    )


def byte_order_mark(at: Span) -> Finding:
    """Return the finding for U+FEFF."""
    return _error(
        "E103",
        at,
        "the file contains a byte order mark (U+FEFF)",
        "here, invisible",
        'save the file as "UTF-8", not "UTF-8 with BOM"',
    )


def colon_in_value(at: Span) -> Finding:
    """Return the finding for a second `: ` in one line."""
    return _error(
        "E100",
        at,
        "a colon followed by a blank makes a new key, and a key cannot stand here",
        "",
        "put the whole value in quotes, or indent the key like its neighbours",
    )


def colon_without_blank(at: Span, key: str) -> Finding:
    """Return the finding for `title:Lights`, which YAML takes for one word."""
    return _error(
        "E100",
        at,
        f'a blank is missing after "{_shown(key)}:"',
        "",
        "write a blank after the colon, or put the text in quotes if it is no key",
    )


def control_character(at: Span, character: str) -> Finding:
    """Return the finding for a character that does not belong into a text file."""
    return _error(
        "E103",
        at,
        f"a control character (U+{ord(character):04X}) stands in the file",
        "here, invisible",
        "delete it; it often comes in when text is pasted from another program",
    )


def directive(at: Span) -> Finding:
    """Return the finding for `%YAML` and its like."""
    return _error(
        "E108",
        at,
        "a YAML directive (a line that begins with %) is not allowed",
        "",
        "delete this line; rule files are always YAML 1.2",
    )


def duplicate_key(at: Span, key: str, first: Span) -> Finding:
    """Return the finding for a key that stands twice in one map; names both places."""
    return _error(
        "E105",
        at,
        f'"{_shown(key)}" stands twice in the same map',
        f"first on line {first.line}, column {first.column}",
        "rename one of the two, or delete it",
    )


def file_too_large(at: Span, size: int, limit: int) -> Finding:
    """Return the finding for a file over the limit."""
    return _error(
        "E101",
        at,
        f"the file has {size:,} bytes; at most {limit:,} are read",
        "",
        "split it into several files: all files of the rule folders count as one set",
    )


def key_is_no_text(at: Span) -> Finding:
    """Return the finding for a list or a map as a key."""
    return _error(
        "E109",
        at,
        "a list or a map cannot be a key",
        "",
        "write a name as the key (a text that begins with { or [ needs quotes)",
    )


def merge_key(at: Span) -> Finding:
    """Return the finding for `<<`."""
    return _error(
        "E106",
        at,
        '"<<" (a YAML merge key) is not allowed',
        "",
        "write the keys out where they are needed",
    )


def not_utf8(at: Span, byte: int) -> Finding:
    """Return the finding for bytes that are no UTF-8."""
    return _error(
        "E102",
        at,
        f"the file is not UTF-8: byte 0x{byte:02X} cannot stand here",
        "",
        "save the file with the encoding UTF-8",
    )


def number_too_long(at: Span, limit: int) -> Finding:
    """Return the finding for an endless integer."""
    return _error(
        "E109",
        at,
        f"a whole number has more than {limit} digits",
        "",
        "put it in quotes if it is an identifier",
    )


def several_documents(at: Span) -> Finding:
    """Return the finding for a second YAML document."""
    return _error(
        "E108",
        at,
        "a second YAML document begins here; a file holds one",
        "",
        'delete the line "---", or move what follows into a file of its own',
    )


def tab(at: Span) -> Finding:
    """Return the finding for a tab where YAML counts blanks."""
    return _error(
        "E104", at, "a tab stands in the indentation", "", "indent with blanks, two per step"
    )


def tag(at: Span, name: str) -> Finding:
    """Return the finding for `!name`."""
    return _error(
        "E107",
        at,
        f'"{_shown(name)}" is a YAML tag; rule files have none',
        "",
        "put the value in quotes if it is a text; in a condition write `not` instead of `!`",
    )


def too_deep(at: Span, limit: int) -> Finding:
    """Return the finding for maps and lists that are nested too deep."""
    return _error(
        "E101",
        at,
        f"lists and maps are nested more than {limit} deep",
        "",
        "bring the file into a flatter shape",
    )


def too_many_nodes(at: Span, limit: int) -> Finding:
    """Return the finding for a file with too many keys and values."""
    return _error(
        "E101",
        at,
        f"the file has more than {limit:,} keys and values",
        "",
        "split it into several files",
    )


def unclosed_quotes(at: Span) -> Finding:
    """Return the finding for a quoted text that goes on to the end of the file."""
    return _error(
        "E100",
        at,
        "the quotes that open here are never closed",
        "",
        "close them; a quote inside the text is written \\\" in double quotes, '' in single ones",
    )


def value_cannot_begin(at: Span, character: str) -> Finding:
    """Return the finding for `@`, a backtick or `%` at the beginning of a value."""
    return _error(
        "E100",
        at,
        f'a value cannot begin with "{character}" in YAML',
        "",
        "put the whole value in quotes",
    )


_YAML_PROBLEMS = {
    "did not find expected key": "a key and its colon are expected here",
    "did not find expected '-' indicator": 'an item that begins with "- " is expected here',
    "did not find expected ',' or ']'": 'a "," or a "]" is missing before this',
    "did not find expected ',' or '}'": 'a "," or a "}" is missing before this',
    "found unknown escape character": "this backslash means nothing",
    "could not find expected ':'": "a key without its colon",
    "did not find expected node content": "a value is expected here",
    "block sequence entries are not allowed in this context": "a list cannot begin here",
    "did not find expected <document start>": "something stands here that belongs to nothing above",
}


def yaml_syntax(at: Span, problem: str, opened: tuple[str, Span] | None = None) -> Finding:
    """Return the finding for a mistake in the YAML itself; `opened` is what was open, and where."""
    problem = _YAML_PROBLEMS.get(problem, problem)
    if opened is None:
        return _error(
            "E100",
            at,
            f"this is no YAML: {problem}",
            "",
            "compare the indentation and the quotes with the lines above",
        )
    what, where = opened
    mend = {
        "a list in [ ]": 'close it with "]"; a text that begins with [ needs quotes',
        "a map in { }": 'close it with "}"; a text that contains { or } needs quotes',
        "a text in quotes": "write \\\\ for a backslash, or use single quotes",
    }.get(
        what,
        "indent it like its neighbours; a text that begins with a quote, [ or { must be in quotes as a whole",
    )
    return _error(
        "E100",
        at,
        f"this is no YAML: {problem}",
        f"in {what} that began on line {where.line}",
        mend,
    )


# ── E110 to E149: keys and values ────────────────────────────────────────────────────────────


def assignment_without_point(at: Span, written: str) -> Finding:
    """Return the finding for a test's `set` or `past` that names no point."""
    return _error(
        "E134",
        at,
        f'"{_shown(written)}" names no point of an entity',
        "",
        "write ENTITY.POINT, such as seg-12.lights.level",
    )


def bad_boolean(at: Span, key: str, written: str) -> Finding:
    """Return the finding for anything but `true` and `false`."""
    return _error(
        "E120",
        at,
        f'"{key}" is true or false, not "{_shown(written)}"',
        "",
        "write true or false, without quotes",
    )


def bad_choice(at: Span, key: str, written: str, allowed: Iterable[str]) -> Finding:
    """Return the finding for a word out of a closed list."""
    words = tuple(allowed)
    return _error(
        "E124",
        at,
        f'"{_shown(written)}" is no value of "{key}"',
        did_you_mean(written, words),
        f"write one of: {_listed(words)}",
    )


def bad_clock(at: Span, written: str) -> Finding:
    """Return the finding for a test's `clock`."""
    return _error(
        "E142",
        at,
        f'"{_shown(written)}" is no date and time',
        "",
        "write it in city time: 2026-01-15 23:00",
    )


def bad_duration(at: Span, written: str) -> Finding:
    """Return the finding for a duration that is none."""
    return _error(
        "E118",
        at,
        f'"{_shown(written)}" is no duration',
        "",
        "write a number with its unit: 90 s, 2 min 30 s, 1 h, 7 d",
    )


def bad_integer(at: Span, key: str, written: str, least: int) -> Finding:
    """Return the finding for a count."""
    return _error(
        "E121",
        at,
        f'"{key}" is a whole number, {least} or more, not "{_shown(written)}"',
        "",
        f"write a number such as {max(least, 1)}",
    )


def bad_length(at: Span, written: str) -> Finding:
    """Return the finding for a distance."""
    return _error(
        "E123",
        at,
        f'"{_shown(written)}" is no distance above zero',
        "",
        "write a number with its unit: 150 m, 1.2 km",
    )


def bad_name(at: Span, what: str, written: str, example: str) -> Finding:
    """Return the finding for a name with characters that a name cannot have."""
    return _error(
        "E113",
        at,
        f'"{_shown(written)}" is no name for {what}',
        f'write "{example}"' if example else "",
        "a name begins with a small letter and goes on with small letters, digits"
        + (" and _" if what in _UNDERSCORES_ONLY else ", - and _"),
    )


_UNDERSCORES_ONLY = ("a derived value", "a variable", "a parameter")


def bad_past(at: Span, written: str) -> Finding:
    """Return the finding for a line of `past` without its duration."""
    return _error(
        "E135",
        at,
        f'"{_shown(written)}" does not say how long the value lasted',
        "",
        "write VALUE for DURATION: 40 veh/h for 20 min",
    )


def bad_percentage(at: Span, key: str, written: str) -> Finding:
    """Return the finding for a share that is no percentage."""
    return _error(
        "E122",
        at,
        f'"{key}" is a percentage from 0 % to 100 %, not "{_shown(written)}"',
        "",
        "write it with its sign: 80 %",
    )


def bad_runs(at: Span, written: str) -> Finding:
    """Return the finding for `runs`."""
    return _error(
        "E128",
        at,
        f'"{_shown(written)}" is no value of "runs"',
        "",
        "write one of: one, one per VARIABLE, restart, queue N, parallel N",
    )


def bad_sent(at: Span, written: str) -> Finding:
    """Return the finding for a line of `sent` that begins with no known word."""
    return _error(
        "E139",
        at,
        f'"{_shown(written)}" is nothing that can be sent',
        "",
        "write nothing, or a list of: set POINT to VALUE, request POINT for ENTITY, cancel POINT for ENTITY, call NAME, notify NAME",
    )


def bad_version(at: Span, written: str) -> Finding:
    """Return the finding for a version of the language that is not known."""
    return _error(
        "E133", at, f'the language has no version "{_shown(written)}"', "", "write version: 1"
    )


def both_while_and_when(at: Span, name: str) -> Finding:
    """Return the finding for a rule that is a hold and a story at once."""
    return _error(
        "E116",
        at,
        f'rule "{name}" has both "while" and "when"',
        "",
        "keep `while` with `hold` (a state), or `when` with `do` (a story); for both, write two rules",
    )


def comma_in_flow(at: Span, written: str) -> Finding:
    """Return the finding for a value that a comma cut in two inside `{ }`."""
    return _error(
        "E110",
        at,
        f'"{_shown(written)}" is no key: inside {{ }} a comma ends the value before it',
        "",
        "put the whole value with its commas in quotes, or write one key per line",
    )


def cooldown_without_per(at: Span) -> Finding:
    """Return the finding for a cooldown of a rule with instances that does not say what rests."""
    return _error(
        "E145",
        at,
        'the rule has instances, and "cooldown" does not say what rests',
        "",
        "write {after: 90 s, per: VARIABLE}, or several: per: [junction, bus]",
    )


def derive_over_several(at: Span) -> Finding:
    """Return the finding for a derived value over pairs."""
    return _error(
        "E146",
        at,
        "a derived value belongs to one entity, so its for_each has one variable",
        "",
        "keep one variable",
    )


def descending_time(at: Span, written: str) -> Finding:
    """Return the finding for a test's step that lies before the one above it."""
    return _error(
        "E136",
        at,
        f"the step at {_shown(written)} lies before the one above it",
        "",
        "order the steps by time",
    )


def duration_not_positive(at: Span, written: str) -> Finding:
    """Return the finding for a duration of nothing."""
    return _error(
        "E119",
        at,
        f'the duration "{_shown(written)}" is not above zero',
        "",
        "write a longer one, or delete the key",
    )


def empty_collection(at: Span, key: str, what: str) -> Finding:
    """Return the finding for `[]` or `{}` where something must stand."""
    return _error("E141", at, f'"{key}" is empty', "", f"write {what}, or delete the key")


def empty_value(at: Span, key: str, what: str) -> Finding:
    """Return the finding for a key without a value."""
    return _error("E115", at, f'"{key}" has no value', "", f"write {what} after the colon")


def expression_is_a_list(at: Span, key: str) -> Finding:
    """Return the finding for a list with dashes where one expression is wanted."""
    return _error(
        "E112",
        at,
        f'"{key}" is one expression, not a list',
        "",
        "join the conditions in one piece: A and B, or A or B",
    )


def if_with_while(at: Span, name: str) -> Finding:
    """Return the finding for `if` in a hold."""
    return _error(
        "E117",
        at,
        f'"if" does not go with "while" in rule "{name}"',
        "",
        "join the two conditions: while: A and B",
    )


def key_does_not_fit(at: Span, key: str, needs: str, name: str) -> Finding:
    """Return the finding for a key of holds in a story, or the other way round."""
    other = "when" if needs == "while" else "while"
    return _error(
        "E117",
        at,
        f'"{key}" goes with "{needs}", and rule "{name}" has "{other}"',
        "",
        f'delete "{key}", or {_WHY[needs]}',
    )


_WHY = {
    "while": "make it a hold: `while` with `hold` for what has a state",
    "when": "make it a story: `when` with `do` for steps that run once",
}


def level_order(at: Span, level: int, before: int) -> Finding:
    """Return the finding for a plan's levels out of order."""
    what = "stands twice" if level == before else f"comes after level {before}"
    return _error(
        "E131",
        at,
        f"level {level} {what}",
        "",
        "number the levels upwards, each once: a higher one includes the lower",
    )


def missing_key(at: Span, key: str, what: str, example: str) -> Finding:
    """Return the finding for a required key that is not there."""
    return _error("E111", at, f'{what} has no "{key}"', "", f"add {example}")


def neither_while_nor_when(at: Span, name: str) -> Finding:
    """Return the finding for a rule without a condition."""
    return _error(
        "E116",
        at,
        f'rule "{name}" has neither "while" nor "when"',
        "",
        "add `while: CONDITION` with `hold`, or `when: EVENT` with `do`",
    )


def no_end(at: Span) -> Finding:
    """Return the finding for a `set` in a story that would stand for ever."""
    return _error(
        "E132",
        at,
        "a `set` in a story needs an end",
        "",
        "add until: CONDITION, or at_most: DURATION, or both",
    )


def no_request_key(at: Span, key: str, marker: str) -> Finding:
    """Return the finding for a demand's key that belongs to the other form."""
    return _error(
        "E117",
        at,
        f'"{key}" does not go with "{marker}"',
        "",
        "write `set: POINT` with `to: VALUE`, or `request: POINT` with `for: ENTITY` and `with: {...}`",
    )


def no_step(at: Span, known: Iterable[str]) -> Finding:
    """Return the finding for a map that is no step."""
    return _error(
        "E126",
        at,
        "this is no step: none of its keys says what to do",
        "",
        f"begin it with one of: {_listed(known)}",
    )


def not_one_demand(at: Span) -> Finding:
    """Return the finding for a hold's item with neither or both of `set` and `request`."""
    return _error(
        "E130",
        at,
        'a demand has either "set" or "request"',
        "",
        "write `set: POINT` with `to: VALUE`, or `request: POINT` with `for: ENTITY`",
    )


def out_of_one_or_more(at: Span, key: str, written: str) -> Finding:
    """Return the finding for a name that YAML reads as something else."""
    return _error(
        "E113",
        at,
        f'"{key}" is a name or a list of names, not "{_shown(written)}"',
        "",
        "write names such as roads-duty",
    )


def reserved_variable(at: Span, name: str) -> Finding:
    """Return the finding for a variable that is a word of the language."""
    return _error(
        "E114",
        at,
        f'a variable cannot be called "{name}": it is a word of the language',
        "",
        f"write another name, such as {name}_1",
    )


def set_of_incomplete(at: Span, key: str) -> Finding:
    """Return the finding for a set of entities without `kind`, or `within` without `of`."""
    text = {
        "kind": 'a set of entities needs its "kind"',
        "within": '"of" needs "within": how near is near?',
        "of": '"within" needs "of": near which entity?',
    }[key]
    return _error("E129", at, text, "", "write {kind: bus, within: 150 m, of: junction}")


def template_with_more(at: Span) -> Finding:
    """Return the finding for a text that is a map, but no template."""
    return _error(
        "E144",
        at,
        "a text is a text or {template: ...}",
        "",
        "write the text in quotes, or `template: |` and the template below",
    )


def title_language(at: Span, written: str) -> Finding:
    """Return the finding for a title's language."""
    return _error(
        "E125",
        at,
        f'"{_shown(written)}" is no language code',
        "",
        "write two small letters: {fr: ..., en: ...}",
    )


def too_many_findings(at: Span, limit: int) -> Finding:
    """Return the finding that ends a list that nobody would read."""
    return _error(
        "E140",
        at,
        f"more than {limit} findings; the rest is left out",
        "",
        "mend the first ones and check again",
    )


def two_steps(at: Span, first: str, second: str) -> Finding:
    """Return the finding for a map with two markers."""
    return _error(
        "E127",
        at,
        f'"{second}" is a step of its own and cannot share a map with "{first}"',
        "",
        "begin a new item of the list with a dash",
    )


def unknown_expectation(at: Span, known: Iterable[str]) -> Finding:
    """Return the finding for an item of `expect` that says nothing."""
    return _error(
        "E137",
        at,
        "this expects nothing: none of its keys says of what",
        "",
        f"begin it with one of: {_listed(known)}",
    )


def unknown_key(at: Span, key: str, what: str, known: Iterable[str], hint: str = "") -> Finding:
    """Return the finding for a key outside the closed schema; `hint` says where it belongs."""
    words = tuple(known)
    return _error(
        "E110",
        at,
        f'{what} has no key "{_shown(key)}"',
        hint or did_you_mean(key, words),
        f"the keys are: {_listed(words)}",
    )


def wrong_shape(at: Span, key: str, wanted: str, found: str, example: str = "") -> Finding:
    """Return the finding for a list where a map is wanted, and so on."""
    return _error(
        "E112",
        at,
        f'"{key}" is {wanted}, not {found}',
        "",
        f"write {example}" if example else f"write {wanted} here",
    )


# ── E150 to E199: expressions ────────────────────────────────────────────────────────────────


def attribute_of(at: Span, what: str) -> Finding:
    """Return the finding for `.name` behind something that has no attributes."""
    return _error(
        "E164",
        at,
        f"{what} has no attributes",
        "",
        "only variables, calls and attribute paths go on with a dot",
    )


def bad_escape(at: Span, written: str) -> Finding:
    """Return the finding for a backslash that means nothing."""
    return _error(
        "E157",
        at,
        f'"{written}" means nothing inside a text',
        "",
        "write \\\\ for a backslash, \\\" or \\' for a quote",
    )


def bad_number(at: Span, written: str, mend: str) -> Finding:
    """Return the finding for digits that make no number."""
    return _error("E158", at, f'"{_shown(written)}" is no number', "", mend)


def bad_quantity(at: Span, written: str) -> Finding:
    """Return the finding for two quantities in a row that make no duration."""
    return _error(
        "E160",
        at,
        f'"{_shown(written)}" is no quantity',
        "",
        "only durations have several parts, the larger first: 2 min 30 s; otherwise write an operator between the two",
    )


def bad_time_of_day(at: Span, written: str) -> Finding:
    """Return the finding for `25:00`."""
    return _error(
        "E161",
        at,
        f'"{written}" is no time of day',
        "",
        "write hours and minutes from 00:00 to 23:59, such as 22:30",
    )


def call_of(at: Span) -> Finding:
    """Return the finding for brackets behind something that is no function."""
    return _error(
        "E172", at, "only a function can be called", "", "write an operator before the bracket"
    )


def chained_event(at: Span, word: str) -> Finding:
    """Return the finding for `a < b becomes c`."""
    return _error(
        "E169",
        at,
        f'"{word}" does not chain with what stands before it',
        "",
        f"put the first part in brackets: (...) {word} ...",
    )


def conditional_without_else(at: Span) -> Finding:
    """Return the finding for `a if b`."""
    return _error(
        "E173",
        at,
        '"if" inside an expression needs its "else"',
        "",
        "write VALUE if CONDITION else OTHER_VALUE",
    )


def double_percent(at: Span) -> Finding:
    """Return the finding for `30 %%`."""
    return _error("E175", at, "the percent sign stands twice", "", "write it once: 30 %")


def empty_brackets(at: Span) -> Finding:
    """Return the finding for `()` and `[]`."""
    return _error(
        "E174",
        at,
        "there is nothing in the brackets",
        "",
        "write the values that it may be: [a, b]",
    )


def empty_expression(at: Span) -> Finding:
    """Return the finding for nothing at all."""
    return _error(
        "E150",
        at,
        "an expression is expected, and nothing is written",
        "",
        "write a condition or a value",
    )


def event_needs_place(at: Span, word: str) -> Finding:
    """Return the finding for `x enters` without a place."""
    return _error(
        "E167",
        at,
        f'"{word}" does not say what',
        "",
        f"write: bus {word} junction; or `{word}` alone for the pair of the rule's own moving set",
    )


def event_without_subject(at: Span, word: str) -> Finding:
    """Return the finding for `becomes x` without what becomes it."""
    example = {"becomes": "door.state becomes open", "changes": "door.state changes"}.get(word)
    return _error(
        "E166",
        at,
        f'"{word}" does not say who',
        "",
        f"write what {word}: {example or f'bus {word} junction'}",
    )


def expected_duration(at: Span, word: str, written: str) -> Finding:
    """Return the finding for `within`, `for` or `every` without a length of time."""
    found = f', not "{_shown(written)}"' if written else ""
    return _error(
        "E168",
        at,
        f'after "{word}" comes a duration{found}',
        "",
        f"write it with its unit: {word} 30 s",
    )


def expected_operand(at: Span, after: str, found: str) -> Finding:
    """Return the finding for an operator without its right side."""
    behind = f' after "{after}"' if after else ""
    what = f'"{_shown(found)}" stands there' if found else "the expression ends"
    return _error(
        "E153",
        at,
        f"a value is missing{behind}: {what}",
        "",
        "write a value, a name or a bracket here, or delete what is too much",
    )


def expected_word(at: Span, found: str) -> Finding:
    """Return the finding for a dot without a name."""
    what = f'"{_shown(found)}" stands there' if found else "the expression ends"
    return _error(
        "E153",
        at,
        f"a name is missing after the dot: {what}",
        "",
        "write the name of a point or an attribute",
    )


def foreign_operator(at: Span, written: str, mend: str) -> Finding:
    """Return the finding for an operator of another language."""
    return _error("E151", at, f'"{written}" is not part of the language', "", mend)


def foreign_word(at: Span, written: str, mend: str) -> Finding:
    """Return the finding for a word of another language."""
    return _error("E165", at, f'"{written}" is not part of the language', "", mend)


def format_in_text(at: Span) -> Finding:
    """Return the finding for `{x:.1f}`."""
    return _error(
        "E179",
        at,
        "a text takes expressions without a format",
        "",
        "write {round(x, 1)} instead of {x:.1f}",
    )


def keyword_before_positional(at: Span) -> Finding:
    """Return the finding for `f(a=1, b)`."""
    return _error(
        "E171",
        at,
        "an argument without a name stands after one with a name",
        "",
        "write the arguments without names first",
    )


def keyword_twice(at: Span, name: str) -> Finding:
    """Return the finding for `f(a=1, a=2)`."""
    return _error("E171", at, f'the argument "{name}" is given twice', "", "keep one")


def missing_bracket(at: Span, opened: str, line: int, column: int) -> Finding:
    """Return the finding for a bracket that is never closed."""
    closing = {"(": ")", "[": "]"}[opened]
    return _error(
        "E155",
        at,
        f'"{closing}" is missing',
        f'for the "{opened}" on line {line}, column {column}',
        f'write "{closing}" where the bracket ends',
    )


def no_code(at: Span, word: str, why: str) -> Finding:
    """Return the finding for a piece of program code."""
    return _error(
        "E164",
        at,
        f'"{word}" is not allowed: {why}',
        "",
        "write a condition, or name a value with `derive`",
    )


def not_a_count(at: Span, written: str) -> Finding:
    """Return the finding for `2.5 times`."""
    return _error(
        "E170",
        at,
        f'"{_shown(written)} times" is no count',
        "",
        "write a whole number, 1 or more: 5 times EVENT within 2 min",
    )


def not_without_in(at: Span) -> Finding:
    """Return the finding for `a not b`."""
    return _error(
        "E153",
        at,
        '"not" between two values needs "in" behind it',
        "",
        "write a not in b, or join with: and not",
    )


def pattern_word_missing(at: Span, pattern: str, word: str, found: str) -> Finding:
    """Return the finding for a pattern without its `within` or `for`."""
    what = f'"{_shown(found)}" stands there' if found else "the expression ends"
    return _error("E167", at, f'"{word}" is missing: {what}', "", f"write {pattern}")


def percent_of_a_name(at: Span) -> Finding:
    """Return the finding for `x %`."""
    return _error(
        "E153",
        at,
        'a value is missing after "%", which divides here',
        "",
        "only a written number takes a percent sign (30 %); points have their unit already",
    )


def reserved_word(at: Span, word: str) -> Finding:
    """Return the finding for a word of the language where a value is expected."""
    return _error(
        "E166",
        at,
        f'"{word}" is a word of the language and no value',
        "",
        "write a value before it; a text needs quotes",
    )


def single_equals(at: Span) -> Finding:
    """Return the finding for `=`."""
    return _error(
        "E152",
        at,
        '"=" assigns, and expressions assign nothing',
        'did you mean "=="?',
        "write == to compare",
    )


def stray(at: Span, written: str, nearest: str = "", mend: str = "") -> Finding:
    """Return the finding for something behind a complete expression."""
    return _error(
        "E154",
        at,
        f'the expression is complete before "{_shown(written)}"',
        nearest,
        mend or "write an operator (and, or, ==, <, +, ...) before it, or delete it",
    )


def stray_comma(at: Span) -> Finding:
    """Return the finding for a comma outside brackets."""
    return _error(
        "E154",
        at,
        "a comma separates values inside brackets only",
        "",
        "write a decimal point (1.5), or brackets around the list",
    )


def stray_for(at: Span) -> Finding:
    """Return the finding for a `for` behind a complete condition."""
    return _error(
        "E154",
        at,
        'the expression is complete before "for"',
        "",
        "how long a condition must be true stands under the key `for`; there are no loops",
    )


def subscript(at: Span) -> Finding:
    """Return the finding for `x[0]`."""
    return _error(
        "E163",
        at,
        "there are no subscripts: sets have no order and points no parts",
        "",
        "use nearest(1, ...), min, max, or an attribute with a dot",
    )


def text_brace_lone(at: Span) -> Finding:
    """Return the finding for `}` without `{`."""
    return _error(
        "E177",
        at,
        'a "}" stands in the text without its "{"',
        "",
        "write }} for a brace that people shall see",
    )


def text_brace_open(at: Span) -> Finding:
    """Return the finding for `{` without `}`."""
    return _error(
        "E176",
        at,
        'the "{" is not closed',
        "",
        'close the expression with "}", or write {{ for a brace that people shall see',
    )


def text_too_long(at: Span, limit: int) -> Finding:
    """Return the finding for a text that nobody would read."""
    return _error(
        "E162",
        at,
        f"the text has more than {limit:,} characters",
        "",
        "shorten it, and link to what is longer",
    )


def too_big(at: Span, what: str, limit: int) -> Finding:
    """Return the finding for an expression over a limit (`characters`, `levels of brackets`, `parts`)."""
    return _error(
        "E162",
        at,
        f"the expression has more than {limit:,} {what}",
        "",
        "give names to its parts with `derive`",
    )


def unexpected_character(at: Span, written: str) -> Finding:
    """Return the finding for a character that no expression contains."""
    return _error(
        "E151",
        at,
        f'"{written}" has no meaning in an expression',
        "",
        "delete it, or put it in quotes if it belongs to a text",
    )


def unknown_unit(at: Span, written: str, nearest: str) -> Finding:
    """Return the finding for a word behind a number that is no unit."""
    return _error(
        "E159",
        at,
        f'"{_shown(written)}" is no unit',
        f'did you mean "{nearest}"?' if nearest else "",
        f"write {nearest}"
        if nearest
        else "write a unit such as s, min, m, km/h, veh/h, %, °C, or an operator before the word",
    )


def unmatched_bracket(at: Span, written: str) -> Finding:
    """Return the finding for `)` without `(`."""
    return _error(
        "E156", at, f'"{written}" closes nothing', "", "delete it, or write the opening bracket"
    )


def unterminated_text(at: Span, quote: str) -> Finding:
    """Return the finding for a text whose quote is not closed."""
    return _error("E157", at, "the text is not closed", "", f"write {quote} at its end")


def wrong_bracket(at: Span, written: str, opened: str) -> Finding:
    """Return the finding for `(a]`."""
    return _error(
        "E156",
        at,
        f'"{written}" does not close "{opened}"',
        "",
        "close with the bracket that was opened",
    )
