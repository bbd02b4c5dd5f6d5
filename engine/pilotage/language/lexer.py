"""Expression text to tokens: words, numbers with their units, texts, times of day and operators.

The first token that cannot be read raises `ExpressionError`; the parser never sees a malformed one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple

from pilotage.language import findings as say
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.units import SYMBOLS, UnknownUnitError, parse_unit

Locate = Callable[[int, int], Span]
"""Turns (offset, length) within an expression into a place in its file."""

AFTER_A_NUMBER: Final = frozenset(
    [
        "if",
        "else",
        "and",
        "or",
        "in",
        "not",
        "then",
        "within",
        "for",
        "times",
        "without",
        "becomes",
        "changes",
        "enters",
        "leaves",
    ]
)
"""Words that are never read as the unit of the number before them."""


class ExpressionError(Exception):
    """The text is no expression; the finding says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    NUMBER = auto()
    TEXT = auto()
    TIME = auto()
    OPERATOR = auto()
    END = auto()


class Token(NamedTuple):
    """A piece of an expression: `text` as written (for a text: what it says), `value` and `unit` of numbers."""

    kind: Kind
    text: str
    start: int
    end: int
    value: float = 0.0
    unit: str = ""


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<time>\d{1,2}:\d{2}(?::\d{2})?(?![\w:]))
    |(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d]\w*)
    |(?P<text>["'])
    |(?P<operator><=|>=|==|!=|[<>+\-*/%()\[\].,=])""",
    re.VERBOSE,
)
_FOREIGN = re.compile(
    r"===|!==|<=>|<>|=<|=>|=~|!~|&&|\|\||\*\*|//|:=|->|\.\.\.?|\+\+|--|[+\-*/]=|!(?!=)|[&|^~;?:{}$@#`\\≤≥≠×÷−–·“”„«»‘’≈]"
)
_FOREIGN_MENDS: Final = {
    "===": "write == to compare",
    "!==": "write != to compare",
    "<=>": "write one of < <= > >= == !=",
    "<>": "write != for unequal",
    "=<": "write <= for at most",
    "=>": "write >= for at least",
    "=~": "there are no regular expressions; compare with == or use `in [a, b]`",
    "!~": "there are no regular expressions; compare with != or use `not in [a, b]`",
    "&&": "write and",
    "||": "write or",
    "!": "write not",
    "&": "write and",
    "|": "write or",
    "^": "there are no powers; multiply",
    "~": "write not",
    "**": "there are no powers; multiply",
    "//": "write round(a / b)",
    ":=": "expressions assign nothing; give the value a name with `derive`, or `let` in a story",
    "->": "write a dot to follow a reference",
    "..": "write one dot before each name, or [a, b] for a list of values",
    "...": "write one dot before each name, or [a, b] for a list of values",
    "++": "expressions assign nothing; write + 1",
    "--": "expressions assign nothing; write - 1",
    "+=": "expressions assign nothing; write +",
    "-=": "expressions assign nothing; write -",
    "*=": "expressions assign nothing; write *",
    "/=": "write != for unequal",
    ";": "write one expression; join conditions with and",
    "?": "write VALUE if CONDITION else OTHER_VALUE",
    ":": "a colon stands in times of day only (22:30)",
    "{": "expressions have no braces; write a list as [a, b]",
    "}": "expressions have no braces; write a list as [a, b]",
    "$": "write the name alone",
    "@": "write the name alone",
    "#": "write the number or the name alone",
    "`": 'put texts in quotes: "..."',
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "≈": "write abs(a - b) < LIMIT",
    "×": "write *",
    "·": "write *",
    "÷": "write /",
    "−": "write the minus of the keyboard: -",
    "–": "write the minus of the keyboard: -",
    **dict.fromkeys("“”„«»‘’", 'write straight quotes: "..."'),
}
_UNIT_FACTOR = re.compile(r"(?:°C|[%‰°€]|[^\W\d]\w*)(?:[²³]|\^-?\d)?")
_HOURS = re.compile(r"\d{1,2}$")
_BEFORE_UNIT = re.compile(r"[ \t]*")
_NEXT = re.compile(r"\s*(?:(?P<word>[^\W\d]\w*)|(?P<operand>[\d\"'(\[]))")
_UNITS_AS_WRITTEN: Final = {
    "kmh": "km/h", "kph": "km/h", "mps": "m/s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "mins": "min", "minute": "min", "minutes": "min", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d",
    "days": "d", "week": "d", "weeks": "d", "C": "°C", "degC": "°C", "celsius": "°C", "lux": "lx",
    "car": "veh", "cars": "veh", "vehicle": "veh", "vehicles": "veh", "people": "pers", "person": "pers",
    "persons": "pers", "percent": "%", "pct": "%", "metre": "m", "metres": "m", "meter": "m", "meters": "m",
    "kilometre": "km", "kilometres": "km", "kilometer": "km", "kilometers": "km", "ug": "µg", "euro": "€",
    "euros": "€", "degree": "°", "degrees": "°", "litre": "L", "litres": "L", "ton": "t", "tons": "t", "tonnes": "t",
}  # fmt: skip


def tokens_of(text: str, locate: Locate) -> list[Token]:
    """Return the tokens of an expression, an END token last.

    Raises:
        ExpressionError: Something in the text is no token.
    """
    return _Lexer(text, locate).run()


@lru_cache(maxsize=4096)
def is_unit(text: str) -> bool:
    """Return whether a text names a unit."""
    if len(text) > 40 or text in ("", "1"):
        return False
    try:
        parse_unit(text)
    except UnknownUnitError:
        return False
    return True


class _Lexer:
    def __init__(self, text: str, locate: Locate) -> None:
        self.text = text
        self.locate = locate
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup == "operator":
                self._check_foreign(at, match)
            assert match is not None
            at = self._take(match)
        self.tokens.append(Token(Kind.END, "", len(self.text.rstrip()), len(self.text)))
        return self.tokens

    def _take(self, match: re.Match[str]) -> int:
        """Add the token of a match and return where the next one begins."""
        start, end = match.span()
        match match.lastgroup:
            case "space":
                pass
            case "word":
                end = self._word(match[0], start, end)
            case "number":
                end = self._number(match[0], start, end)
            case "text":
                end = self._text(match[0], start)
            case "time":
                self._time(match[0], start, end)
            case _:
                self._add(Kind.OPERATOR, match[0], start, end)
        return end

    def _add(
        self, kind: Kind, text: str, start: int, end: int, value: float = 0.0, unit: str = ""
    ) -> None:
        self.tokens.append(Token(kind, text, start, end, value, unit))

    def _check_foreign(self, at: int, match: re.Match[str] | None) -> None:
        foreign = _FOREIGN.match(self.text, at)
        if match is not None and (foreign is None or foreign[0] == "--"):  # a - -b is fine
            return
        if foreign is None:
            raise ExpressionError(say.unexpected_character(self.locate(at, 1), self.text[at]))
        written = foreign[0]
        mend = _FOREIGN_MENDS.get(written)
        place = self.locate(at, len(written))
        raise ExpressionError(
            say.foreign_operator(place, written, mend)
            if mend
            else say.unexpected_character(place, written)
        )

    # numbers and units

    def _number(self, written: str, start: int, end: int) -> int:
        if "_" in written:
            self._refuse_number(
                start, end, f"write {written.replace('_', '')}, without underscores"
            )
        self._check_around(start, end)
        value = float(written)
        if value == float("inf"):
            self._refuse_number(start, end, "write a smaller number")
        unit, unit_end = self._unit(end)
        self._add(Kind.NUMBER, self.text[start:unit_end], start, unit_end, value, unit)
        return unit_end

    def _check_around(self, start: int, end: int) -> None:
        before = self.tokens[-1] if self.tokens else None
        if before and before.text == "." and before.end == start and self._is_bare_dot():
            self._refuse_number(before.start, end, f"write 0{self.text[before.start : end]}")
        after = self.text[end : end + 2]
        if after[:1] == "." and not after[1:].isalpha():
            self._refuse_number(
                start, end + 1, f"write {self.text[start:end]}, or digits behind the point"
            )
        if after[:1] == "." and after[1:].isalpha():
            self._refuse_number(
                start,
                end + 1,
                "an expression names entities by variables, not by ids such as bus-7; see `for_each`",
            )

    def _is_bare_dot(self) -> bool:
        if len(self.tokens) < 2:
            return True
        owner = self.tokens[-2]
        return owner.end < self.tokens[-1].start or owner.kind is Kind.OPERATOR

    def _refuse_number(self, start: int, end: int, mend: str) -> None:
        raise ExpressionError(
            say.bad_number(self.locate(start, end - start), self.text[start:end], mend)
        )

    def _unit(self, end: int) -> tuple[str, int]:
        """Return the unit behind a number and where it ends; no unit when a keyword or an operator follows."""
        start = _blank_end(self.text, end)
        factor = _UNIT_FACTOR.match(self.text, start)
        if factor is None or factor[0] in AFTER_A_NUMBER:
            return "", end
        if factor[0] == "%":
            return self._percent(start, end)
        stop = self._compound_end(factor.end())
        written = self.text[start:stop]
        unit = written.replace("μ", "µ").replace("º", "°")
        if not is_unit(unit):
            self._refuse_unit(start, stop, written)
        return unit, stop

    def _compound_end(self, stop: int) -> int:
        """Extend `veh` to `veh/h`: a stroke directly followed by a word belongs to the unit."""
        while stop < len(self.text) and self.text[stop] in "/·":
            factor = _UNIT_FACTOR.match(self.text, stop + 1)
            if factor is None or self.text[factor.end() : factor.end() + 1] in (".", "("):
                break
            if not is_unit(factor[0]) and not _nearest_factor(factor[0]):
                break  # 100 m/speed is a division
            stop = factor.end()
        return stop

    def _percent(self, start: int, end: int) -> tuple[str, int]:
        if self.text[start + 1 : start + 2] == "%":
            raise ExpressionError(say.double_percent(self.locate(start, 2)))
        following = _NEXT.match(self.text, start + 1)
        is_operand = following is not None and (
            following["operand"] or following["word"] not in AFTER_A_NUMBER
        )
        return ("", end) if is_operand else ("%", start + 1)

    def _refuse_unit(self, start: int, stop: int, written: str) -> None:
        hours = _HOURS.search(self.text, 0, start)
        if hours and re.fullmatch(r"h\d{0,2}", written):  # 22h30
            place = self.locate(hours.start(), stop - hours.start())
            raise ExpressionError(say.bad_time_of_day(place, self.text[hours.start() : stop]))
        place = self.locate(start, stop - start)
        raise ExpressionError(say.unknown_unit(place, written, nearest_unit(written)))

    # the others

    def _word(self, written: str, start: int, end: int) -> int:
        if written == "lambda" and not (self.tokens and self.tokens[-1].text == "."):
            why = "expressions define no functions"
            raise ExpressionError(say.no_code(self.locate(start, end - start), written, why))
        if self.text[end : end + 1] in ("'", '"') and written.lower() in (
            "f",
            "r",
            "b",
            "u",
            "rf",
            "fr",
        ):
            why = (
                "a text has no prefix"
                if "r" not in written.lower()
                else "there are no regular expressions"
            )
            raise ExpressionError(say.no_code(self.locate(start, end - start), written, why))
        self._add(Kind.WORD, written, start, end)
        return end

    def _time(self, written: str, start: int, end: int) -> None:
        hours, minutes, *seconds = (int(part) for part in written.split(":"))
        if seconds or hours > 23 or minutes > 59:
            raise ExpressionError(say.bad_time_of_day(self.locate(start, end - start), written))
        self._add(Kind.TIME, written, start, end, hours * 60 + minutes)

    def _text(self, quote: str, start: int) -> int:
        pieces: list[str] = []
        at = start + 1
        while at < len(self.text) and self.text[at] != quote:
            if self.text[at] == "\\":
                pieces.append(self._escape(at))
                at += 2
            else:
                pieces.append(self.text[at])
                at += 1
        if at >= len(self.text):
            raise ExpressionError(
                say.unterminated_text(self.locate(start, len(self.text) - start), quote)
            )
        self._add(Kind.TEXT, "".join(pieces), start, at + 1)
        return at + 1

    def _escape(self, at: int) -> str:
        escaped = self.text[at + 1 : at + 2]
        if escaped and escaped not in "\\\"'n":
            raise ExpressionError(say.bad_escape(self.locate(at, 2), self.text[at : at + 2]))
        return "\n" if escaped == "n" else escaped


def nearest_unit(written: str) -> str:
    """Return the unit that somebody who wrote `kmh` or `sec` wants, or an empty text."""
    known = _UNITS_AS_WRITTEN.get(written) or _UNITS_AS_WRITTEN.get(written.lower())
    if known:
        return known
    parts = re.split(r"([/·])", written)
    mended = "".join(
        part if part in "/·" or is_unit(part) else _nearest_factor(part) for part in parts
    )
    return mended if mended and is_unit(mended) else ""


def _nearest_factor(part: str) -> str:
    known = _UNITS_AS_WRITTEN.get(part) or _UNITS_AS_WRITTEN.get(part.lower())
    if known:
        return known
    label = say.did_you_mean(part, sorted(SYMBOLS - {"1"}))
    return label.split('"')[1] if label else ""


def _blank_end(text: str, at: int) -> int:
    match = _BEFORE_UNIT.match(text, at)
    return match.end() if match else at
