"""Expressions, events, patterns, texts for people and durations: from text to the typed tree.

Purely about form: whether a name exists, and what may be compared with what, the checker knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Final, TypeVar

from pilotage.language import findings as say
from pilotage.language.lexer import ExpressionError, Kind, Locate, Token, tokens_of
from pilotage.language.syntax import (
    AtTime,
    Attribute,
    Becomes,
    Binary,
    Boolean,
    Call,
    Changes,
    Compare,
    Conditional,
    Crosses,
    Every,
    Expr,
    ListOf,
    Logic,
    Name,
    Number,
    Repeats,
    Sequence,
    Silence,
    String,
    Text,
    TimeOfDay,
    Unary,
    Without,
)
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.units import METRE, SECOND, convert, parse_unit

MAX_CHARACTERS: Final = 2_000
MAX_TEXT: Final = 4_000
MAX_DEPTH: Final = 50
MAX_PARTS: Final = 500

RESERVED: Final = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "if",
        "else",
        "true",
        "false",
        "then",
        "without",
        "within",
        "for",
        "times",
        "becomes",
        "changes",
        "enters",
        "leaves",
        "every",
        "at",
        "no",
    ]
)
"""Words of the language: no variable may be called so. After a dot they are names like any other."""

_JOINING_WORDS: Final = (
    "and", "becomes", "changes", "else", "enters", "if", "in", "leaves", "not", "or", "then", "times", "within", "without",
)  # fmt: skip
_STRAY_MENDS: Final = {
    "within": "write A then B within 30 s, or 5 times A within 2 min",
    "else": "write VALUE if CONDITION else OTHER_VALUE",
    "times": "a whole number stands before it: 5 times EVENT within 2 min",
    "where": "write a comma before it and = after it: count(bus, where=bus.late)",
}
_EVENT_WORDS: Final = frozenset({"becomes", "changes", "enters", "leaves"})
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!=", "in", "not"})
_FOREIGN_WORDS: Final = {
    "AND": "write and", "OR": "write or", "NOT": "write not", "IN": "write in", "And": "write and", "Or": "write or",
    "Not": "write not", "True": "write true", "False": "write false", "TRUE": "write true", "FALSE": "write false",
    "None": "to ask whether a value is known, write known(x)", "null": "to ask whether a value is known, write known(x)",
    "is": "write == to compare, or known(x)", "equals": "write == to compare", "matches": "there are no regular expressions; compare with == or `in [a, b]`",
    "contains": "write VALUE in SET", "between": "write LOW <= x <= HIGH", "xor": "write a != b", "mod": "write %",
    "div": "write /", "elif": "write a if b else c if d else e", "when": "an event stands under the key `when`",
    "unless": "write and not, or use the key `unless`", "after": "write a then b within 30 s",
}  # fmt: skip
_CODE_WORDS: Final = {
    "import": "expressions load no code",
    "def": "expressions define no functions",
    "while": "expressions have no loops",
    "return": "an expression is its value already",
    "await": "expressions do not wait; use `wait_for` in a story",
    "yield": "expressions have no loops",
    "exec": "expressions run no code",
    "eval": "expressions run no code",
}

# Binding powers, loosest first. What binds tighter is parsed inside.
_PATTERN, _CONDITION, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN = range(1, 10)
_POWERS: Final = {
    "then": _PATTERN, "without": _PATTERN, "if": _CONDITION, "or": _OR, "and": _AND, "<": _COMPARE, "<=": _COMPARE,
    ">": _COMPARE, ">=": _COMPARE, "==": _COMPARE, "!=": _COMPARE, "in": _COMPARE, "not": _COMPARE,
    "becomes": _COMPARE, "changes": _COMPARE, "enters": _COMPARE, "leaves": _COMPARE, "+": _SUM, "-": _SUM,
    "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT,
}  # fmt: skip


def parse_expression(text: str, locate: Locate) -> tuple[Expr | None, Finding | None]:
    """Return the expression that a text holds, or what is wrong with it; one of the two is None.

    Args:
        text: The expression as written, without YAML quotes.
        locate: Turns (offset, length) within the text into a place in the file.
    """
    try:
        return _Parser(text, locate).whole(), None
    except ExpressionError as refusal:
        return None, refusal.finding


def parse_duration(text: str, locate: Locate) -> tuple[float | None, Finding | None]:
    """Return the seconds of `90 s`, `2 min 30 s`, `1 h` or `7 d`, or what is wrong; may be zero, never negative."""
    simple = _SIMPLE_DURATION.fullmatch(text)
    if simple:
        return convert(float(simple[1]), parse_unit(simple[2]), SECOND), None
    return _quantity(text, locate, "s", say.bad_duration)


def parse_length(text: str, locate: Locate) -> tuple[float | None, Finding | None]:
    """Return the metres of `150 m` or `1.2 km`, or what is wrong; above zero."""
    metres, problem = _quantity(text, locate, "m", say.bad_length)
    if metres is not None and metres <= 0:
        return None, say.bad_length(locate(0, len(text)), text)
    return metres, problem


def parse_percentage(text: str, locate: Locate) -> float | None:
    """Return the share between 0 and 1 that `80 %` names, or None."""
    expression, _ = parse_expression(text, locate)
    if isinstance(expression, Number) and expression.unit == "%" and 0 <= expression.value <= 100:
        return expression.value / 100
    return None


def parse_text(text: str, locate: Locate) -> tuple[Text, list[Finding]]:
    """Return a text for people with its expressions in braces, and what is wrong with them.

    `{{` and `}}` stand for one brace. An expression that cannot be read is left out of the parts.
    """
    if len(text) > MAX_TEXT:
        whole = locate(0, 1)
        return Text((), whole), [say.text_too_long(whole, MAX_TEXT)]
    if "{" not in text and "}" not in text:
        return Text((text,), locate(0, max(1, len(text)))), []
    findings: list[Finding] = []
    parts: list[str | Expr] = []
    plain = ""
    at = 0
    for found in _BRACES.finditer(text):
        if found.start() < at:
            continue
        plain += text[at : found.start()]
        at = found.end()
        if len(found[0]) == 2:
            plain += found[0][0]
        elif found[0] == "}":
            findings.append(say.text_brace_lone(locate(found.start(), 1)))
        else:
            end = _closing_brace(text, at)
            if end is None:
                findings.append(say.text_brace_open(locate(found.start(), 1)))
                at = len(text)
                break
            if plain:
                parts.append(plain)
                plain = ""
            _embedded(text, at, end, locate, parts, findings)
            at = end + 1
    plain += text[at:]
    if plain or not parts:
        parts.append(plain)
    return Text(tuple(parts), locate(0, max(1, len(text)))), findings


_SIMPLE_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|h|d)")
_BRACES = re.compile(r"\{\{|\}\}|\{|\}")
_FORMAT = re.compile(r"(?P<expression>[^:'\"]+)(?P<format>:[^:'\"]*)$")


def _closing_brace(text: str, at: int) -> int | None:
    quote = ""
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == "}":
            return at
        elif character == "{":
            return None
        at += 1
    return None


def _embedded(
    text: str,
    start: int,
    end: int,
    locate: Locate,
    parts: list[str | Expr],
    findings: list[Finding],
) -> None:
    inside = text[start:end]
    expression, problem = parse_expression(
        inside, lambda offset, length: locate(start + offset, length)
    )
    if expression is not None:
        parts.append(expression)
        return
    format_ = _FORMAT.match(inside)
    if format_ and parse_expression(format_["expression"], locate)[0] is not None:
        problem = say.format_in_text(
            locate(start + format_.start("format"), len(format_["format"]))
        )
    if problem is not None:
        findings.append(problem)


def _quantity(
    text: str, locate: Locate, unit: str, complain: Callable[[Span, str], Finding]
) -> tuple[float | None, Finding | None]:
    expression, problem = parse_expression(text, locate)
    if isinstance(expression, Number) and expression.unit:
        written, wanted = parse_unit(expression.unit), SECOND if unit == "s" else METRE
        if written.dimension == wanted.dimension and expression.value >= 0:
            return convert(expression.value, written, wanted), None
    if problem is not None and problem.code == say.UNKNOWN_UNIT:
        return None, problem
    return None, complain(locate(0, max(1, len(text))), text)


_E = TypeVar("_E", bound=Expr)

# ── the parser ───────────────────────────────────────────────────────────────────────────────


class _Parser:
    """A Pratt parser: three Python frames per level of brackets, so that the depth limit is reached first."""

    def __init__(self, text: str, locate: Locate) -> None:
        self.text = text
        self.locate = locate
        self.depth = 0
        self.parts = 0
        self.position = 0
        if len(text) > MAX_CHARACTERS:
            raise ExpressionError(
                say.too_big(locate(MAX_CHARACTERS, 1), "characters", MAX_CHARACTERS)
            )
        self.tokens = tokens_of(text, locate)
        self.token = self.tokens[0]

    def whole(self) -> Expr:
        """Return the only expression of the text."""
        if len(self.tokens) == 1:
            raise ExpressionError(say.empty_expression(self.locate(0, 1)))
        expression = self.parse(0)
        if self.token.kind is not Kind.END:
            raise self._stray(expression)
        self._check_depth(expression)
        return expression

    def parse(self, power: int) -> Expr:
        """Return the expression that begins here, up to the first operator that binds no tighter than `power`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError(
                say.too_big(self._at(self.token), "levels of brackets", MAX_DEPTH)
            )
        start = self.token.start
        left = self._operand()
        while True:
            token = self.token
            binding = _POWERS.get(token.text, 0) if token.kind in (Kind.WORD, Kind.OPERATOR) else 0
            if binding <= power:
                break
            left = self._infix(left, token, binding, start)
        self.depth -= 1
        return left

    # operators

    def _infix(self, left: Expr, token: Token, power: int, start: int) -> Expr:
        if power in (_SUM, _PRODUCT):
            self._next()
            right = self.parse(power)
            return self._node(Binary(self._since(start), token.text, left, right))
        if power in (_AND, _OR):
            return self._logic(left, token.text, power, start)
        if token.text in _EVENT_WORDS:
            return self._event(left, token, start)
        if power == _COMPARE:
            return self._comparison(left, start)
        if token.text == "if":
            return self._conditional(left, start)
        return self._sequence(left, token, start)

    def _logic(self, left: Expr, word: str, power: int, start: int) -> Expr:
        operands = [left]
        while self._accept(word):
            operands.append(self.parse(power))
        return self._node(Logic(self._since(start), word, tuple(operands)))

    def _comparison(self, left: Expr, start: int) -> Expr:
        rest: list[tuple[str, Expr]] = []
        while self.token.text in _COMPARISONS and self.token.kind in (Kind.WORD, Kind.OPERATOR):
            operator = self.token.text
            self._next()
            if operator == "not":
                if not self._accept("in"):
                    raise ExpressionError(say.not_without_in(self._at(self.token)))
                operator = "not in"
            rest.append((operator, self.parse(_COMPARE)))
        if self.token.kind is Kind.WORD and self.token.text in _EVENT_WORDS:
            raise ExpressionError(say.chained_event(self._at(self.token), self.token.text))
        return self._node(Compare(self._since(start), left, tuple(rest)))

    def _conditional(self, then: Expr, start: int) -> Expr:
        at = self._at(self.token)
        self._next()
        condition = self.parse(_CONDITION)
        if not self._accept("else"):
            raise ExpressionError(say.conditional_without_else(at))
        otherwise = self.parse(_PATTERN)
        return self._node(Conditional(self._since(start), then, condition, otherwise))

    def _event(self, subject: Expr, token: Token, start: int) -> Expr:
        self._next()
        event: Expr
        if token.text == "changes":
            event = Changes(self._since(start), subject)
        elif token.text == "becomes":
            value = self._event_object(token)
            event = Becomes(self._since(start), subject, value)
        else:
            if not self._begins_operand(self.token):
                raise ExpressionError(say.event_needs_place(self._at(token), token.text))
            place = self.parse(_COMPARE)
            event = Crosses(self._since(start), token.text == "leaves", subject, place)
        if _POWERS.get(self.token.text) == _COMPARE and self.token.kind is not Kind.TEXT:
            raise ExpressionError(say.chained_event(self._at(token), token.text))
        return self._node(event)

    def _event_object(self, token: Token) -> Expr:
        if self.token.text in _COMPARISONS and self.token.kind is Kind.OPERATOR:
            raise ExpressionError(say.chained_event(self._at(token), token.text))
        return self.parse(_COMPARE)

    # patterns

    def _sequence(self, first: Expr, token: Token, start: int) -> Expr:
        self._next()
        second = self.parse(_PATTERN)
        seconds = self._pattern_end("within", f"A {token.text} B within 30 s")
        kind = Sequence if token.text == "then" else Without
        return self._node(kind(self._since(start), first, second, seconds))

    def _silence(self, start: int) -> Expr:
        self._next()
        event = self.parse(_PATTERN)
        seconds = self._pattern_end("for", "no EVENT for 10 min")
        return self._node(Silence(self._since(start), event, seconds))

    def _repeats(self, number: Token) -> Expr:
        if number.unit or number.value < 1 or number.value != int(number.value):
            raise ExpressionError(say.not_a_count(self._at(number), number.text))
        self._next()
        event = self.parse(_PATTERN)
        seconds = self._pattern_end("within", "5 times EVENT within 2 min")
        return self._node(Repeats(self._since(number.start), int(number.value), event, seconds))

    def _pattern_end(self, word: str, pattern: str) -> float:
        if not self._accept(word):
            raise ExpressionError(
                say.pattern_word_missing(self._at(self.token), pattern, word, self.token.text)
            )
        return self._duration(word)

    def _duration(self, word: str) -> float:
        first = self.token
        if first.kind is not Kind.NUMBER:
            raise ExpressionError(say.expected_duration(self._at(first), word, first.text))
        self._next()
        number = self._number(first)
        unit = parse_unit(number.unit)
        if unit.dimension != SECOND.dimension:
            raise ExpressionError(
                say.expected_duration(number.at, word, self.text[first.start : self._end()])
            )
        if number.value <= 0:
            raise ExpressionError(
                say.duration_not_positive(number.at, self.text[first.start : self._end()])
            )
        return convert(number.value, unit, SECOND)

    # operands

    def _operand(self) -> Expr:
        token = self.token
        if token.kind is Kind.NUMBER:
            self._next()
            if self.token.text == "times" and self.token.kind is Kind.WORD:
                return self._repeats(token)
            return self._only(self._number(token), "a number")
        if token.kind is Kind.TEXT:
            self._next()
            return self._only(self._node(String(self._at(token), token.text)), "a text")
        if token.kind is Kind.TIME:
            self._next()
            return self._only(
                self._node(TimeOfDay(self._at(token), int(token.value))), "a time of day"
            )
        if token.kind is Kind.WORD:
            return self._word(token)
        return self._symbol(token)

    def _symbol(self, token: Token) -> Expr:
        if token.text == "-":
            return self._minus(token)
        if token.text == "(":
            group = self._brackets(token)
            if self._is("("):
                raise ExpressionError(say.call_of(self._at(self.token)))
            return self._path(group, token.start)
        if token.text == "[":
            return self._list(token)
        raise self._missing_operand()

    def _minus(self, token: Token) -> Expr:
        self._next()
        number = self.token
        if number.kind is Kind.NUMBER:  # -1 °C is a temperature, not the negative of 1 °C
            self._next()
            value = self._number(number)
            return self._only(
                replace(value, at=self._since(token.start), value=-value.value), "a number"
            )
        operand = self.parse(_SIGN)
        return self._node(Unary(self._since(token.start), "-", operand))

    def _word(self, token: Token) -> Expr:
        following = self.tokens[self.position + 1]
        match token.text:
            case "not":
                self._next()
                operand = self.parse(_NOT)
                return self._node(Unary(self._since(token.start), "not", operand))
            case "true" | "false":
                self._next()
                return self._node(Boolean(self._at(token), token.text == "true"))
            case "no" if self._begins_operand(following):
                return self._silence(token.start)
            case "every" if following.kind is Kind.NUMBER:
                self._next()
                seconds = self._duration("every")
                return self._node(Every(self._since(token.start), seconds))
            case "at" if self._begins_operand(following):
                self._next()
                time = self.parse(_COMPARE)
                return self._node(AtTime(self._since(token.start), time))
            case "enters" | "leaves" if not self._begins_operand(following):
                self._next()
                return self._node(Crosses(self._at(token), token.text == "leaves"))
        self._check_name(token, following)
        self._next()
        return self._path(self._node(Name(self._at(token), token.text)), token.start)

    def _check_name(self, token: Token, following: Token) -> None:
        word, at = token.text, self._at(token)
        is_function = word == "changes" and following.text == "("
        if is_function or word in ("no", "at"):  # members of an enumeration may be called so
            return
        if word == "every":
            raise ExpressionError(say.expected_duration(self._at(following), word, following.text))
        if word in _EVENT_WORDS and self.position == 0:
            raise ExpressionError(say.event_without_subject(at, word))
        if word in RESERVED:
            after = self._previous_text()
            raise ExpressionError(
                say.expected_operand(at, after, word) if after else say.reserved_word(at, word)
            )
        if word in _CODE_WORDS:
            raise ExpressionError(say.no_code(at, word, _CODE_WORDS[word]))
        if word in _FOREIGN_WORDS and following.text != "(":
            raise ExpressionError(say.foreign_word(at, word, _FOREIGN_WORDS[word]))

    def _number(self, first: Token) -> Number:
        """Return a number, with the smaller parts of a duration that follow it (`2 min 30 s`)."""
        parts = [first]
        while self.token.kind is Kind.NUMBER:
            self._check_part(parts[-1], self.token, first)
            parts.append(self.token)
            self._next()
        at = self._since(first.start)
        if len(parts) == 1:
            return self._node(Number(at, first.value, first.unit))
        seconds = sum(convert(part.value, parse_unit(part.unit), SECOND) for part in parts)
        return self._node(Number(at, seconds, "s"))

    def _check_part(self, before: Token, token: Token, first: Token) -> None:
        following = self.tokens[self.position + 1]
        is_count = following.kind is Kind.WORD and following.text == "times"
        units = [parse_unit(part.unit) for part in (before, token)]
        are_durations = all(unit.dimension == SECOND.dimension for unit in units)
        if is_count or not are_durations or units[1].scale >= units[0].scale:
            raise ExpressionError(
                say.bad_quantity(
                    self._since(first.start, token.end), self.text[first.start : token.end]
                )
            )

    def _only(self, expression: _E, what: str) -> _E:
        """Return an expression that neither a dot nor brackets may follow."""
        if self.token.text == "." and self.token.kind is Kind.OPERATOR:
            raise ExpressionError(say.attribute_of(self._at(self.token), what))
        if self.token.text == "[" and self.token.kind is Kind.OPERATOR:
            raise ExpressionError(say.subscript(self._at(self.token)))
        if self.token.text == "(" and self.token.kind is Kind.OPERATOR:
            raise ExpressionError(say.call_of(self._at(self.token)))
        return expression

    # brackets, paths and calls

    def _brackets(self, opened: Token) -> Expr:
        self._next()
        if self.token.text == ")" and self.token.kind is Kind.OPERATOR:
            raise ExpressionError(say.empty_brackets(self._since(opened.start, self.token.end)))
        first = self.parse(0)
        if not self._is(","):
            self._close(opened, ")", first)
            return first
        items = [first, *self._more_items(")")]
        self._close(opened, ")", items[-1])
        return self._node(ListOf(self._since(opened.start), tuple(items)))

    def _list(self, opened: Token) -> Expr:
        self._next()
        if self._is("]"):
            raise ExpressionError(say.empty_brackets(self._since(opened.start, self.token.end)))
        items = [self.parse(0), *self._more_items("]")]
        self._close(opened, "]", items[-1])
        return self._only(self._node(ListOf(self._since(opened.start), tuple(items))), "a list")

    def _more_items(self, closing: str) -> Iterator[Expr]:
        while self._is(","):
            self._next()
            if self._is(closing):
                return
            yield self.parse(0)

    def _close(self, opened: Token, closing: str, last: Expr | None) -> None:
        if self._is(closing):
            self._next()
        elif self.token.kind is Kind.END:
            place = self._at(opened)
            raise ExpressionError(
                say.missing_bracket(self._at(self.token), opened.text, place.line, place.column)
            )
        elif self._is(")") or self._is("]"):
            raise ExpressionError(
                say.wrong_bracket(self._at(self.token), self.token.text, opened.text)
            )
        else:
            raise self._stray(last)

    def _path(self, left: Expr, start: int) -> Expr:
        while self.token.kind is Kind.OPERATOR:
            if self.token.text == ".":
                left = self._attribute(left, start)
            elif self.token.text == "(":
                left = self._call(left, start)
            elif self.token.text == "[":
                raise ExpressionError(say.subscript(self._at(self.token)))
            else:
                break
        return left

    def _attribute(self, base: Expr, start: int) -> Expr:
        if not isinstance(base, (Name, Attribute, Call, Conditional)):
            raise ExpressionError(say.attribute_of(self._at(self.token), "this"))
        self._next()
        word = self.token
        if word.kind is not Kind.WORD:
            raise ExpressionError(say.expected_word(self._at(word), word.text))
        self._next()
        return self._node(Attribute(self._since(start), base, word.text, self._at(word)))

    def _call(self, function: Expr, start: int) -> Expr:
        if not isinstance(function, (Name, Attribute)):
            raise ExpressionError(say.call_of(self._at(self.token)))
        opened = self.token
        self._next()
        arguments: list[Expr] = []
        keywords: list[tuple[str, Expr]] = []
        while not self._is(")") and self.token.kind is not Kind.END:
            self._argument(arguments, keywords)
            if not self._is(","):
                break
            self._next()
        self._close(opened, ")", None)
        return self._node(Call(self._since(start), function, tuple(arguments), tuple(keywords)))

    def _argument(self, arguments: list[Expr], keywords: list[tuple[str, Expr]]) -> None:
        token = self.token
        following = self.tokens[min(self.position + 1, len(self.tokens) - 1)]
        if token.kind is Kind.WORD and following.kind is Kind.OPERATOR and following.text == "=":
            if any(name == token.text for name, _ in keywords):
                raise ExpressionError(say.keyword_twice(self._at(token), token.text))
            self._next()
            self._next()
            keywords.append((token.text, self.parse(0)))
        elif keywords and token.kind is not Kind.END:
            raise ExpressionError(say.keyword_before_positional(self._at(token)))
        else:
            arguments.append(self.parse(0))

    # mistakes

    def _missing_operand(self) -> ExpressionError:
        token, after = self.token, self._previous_text()
        if token.text == "=" and after != "=":
            return ExpressionError(say.single_equals(self._at(token)))
        if token.text in (")", "]") and not after:
            return ExpressionError(say.unmatched_bracket(self._at(token), token.text))
        if after == "%":
            return ExpressionError(say.percent_of_a_name(self._at(self.tokens[self.position - 1])))
        return ExpressionError(say.expected_operand(self._at(token), after, token.text))

    def _stray(self, last: Expr | None) -> ExpressionError:
        token = self.token
        at, text = self._at(token), token.text
        if token.kind is Kind.OPERATOR:
            if text == "=":
                return ExpressionError(say.single_equals(at))
            if text == ",":
                return ExpressionError(say.stray_comma(at))
            if text in (")", "]"):
                return ExpressionError(say.unmatched_bracket(at, text))
        if token.kind is Kind.WORD:
            if text == "for":
                return ExpressionError(say.stray_for(at))
            mend = _FOREIGN_WORDS.get(text)
            if mend:
                return ExpressionError(say.foreign_word(at, text, mend))
            if isinstance(last, Name) and last.name in _CODE_WORDS:
                return ExpressionError(say.no_code(last.at, last.name, _CODE_WORDS[last.name]))
        mend = _STRAY_MENDS.get("where" if self._previous_text() == "where" else text, "")
        is_word = token.kind is Kind.WORD and not mend
        nearest = say.did_you_mean(text, _JOINING_WORDS) if is_word else ""
        return ExpressionError(say.stray(at, self.text[token.start : token.end], nearest, mend))

    def _check_depth(self, expression: Expr) -> None:
        if self.parts <= MAX_DEPTH:
            return
        layer: list[Expr] = [expression]
        for _ in range(MAX_DEPTH):
            layer = [child for node in layer for child in children(node)]
            if not layer:
                return
        raise ExpressionError(say.too_big(layer[0].at, "operators inside one another", MAX_DEPTH))

    # tokens and places

    def _next(self) -> None:
        self.position += 1
        self.token = self.tokens[self.position]

    def _is(self, operator: str) -> bool:
        return self.token.kind is Kind.OPERATOR and self.token.text == operator

    def _accept(self, word: str) -> bool:
        if self.token.kind is Kind.WORD and self.token.text == word:
            self._next()
            return True
        return False

    def _begins_operand(self, token: Token) -> bool:
        if token.kind is Kind.OPERATOR:
            return token.text in ("(", "[")
        if token.kind is Kind.WORD:
            return token.text not in _POWERS or token.text in ("not", "enters", "leaves", "changes")
        return token.kind is not Kind.END

    def _previous_text(self) -> str:
        return self.tokens[self.position - 1].text if self.position else ""

    def _end(self) -> int:
        """Return where the token before this one ended."""
        return self.tokens[self.position - 1].end if self.position else 0

    def _since(self, start: int, end: int | None = None) -> Span:
        return self.locate(start, (self._end() if end is None else end) - start)

    def _at(self, token: Token) -> Span:
        return self.locate(
            token.start, max(1, token.end - token.start) if token.kind is not Kind.END else 1
        )

    def _node(self, expression: _E) -> _E:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise ExpressionError(say.too_big(expression.at, "parts", MAX_PARTS))
        return expression


def children(expression: Expr) -> Iterator[Expr]:
    """Yield the expressions directly inside an expression, in order of writing."""
    for field in fields(expression):
        yield from _inside(getattr(expression, field.name))


def _inside(value: object) -> Iterator[Expr]:
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _inside(item)
