"""What an expression may look like, what it means as a tree, and what is said of one that is none."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.language.expressions import (
    RESERVED,
    children,
    parse_duration,
    parse_expression,
    parse_length,
    parse_percentage,
    parse_text,
)
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
    TimeOfDay,
    Unary,
    Without,
)
from pilotage.model.diagnostics import Finding, Span


def locate(offset: int, length: int) -> Span:
    """Place an expression at the beginning of a file of one line."""
    return Span("x", 1, offset + 1, length)


def parse(text: str) -> Expr:
    """Return the tree of an expression that must be right."""
    tree, finding = parse_expression(text, locate)
    assert finding is None, finding.render({"x": text})
    assert tree is not None
    return tree


def refuse(text: str) -> Finding:
    """Return the finding of an expression that must be wrong."""
    tree, finding = parse_expression(text, locate)
    assert tree is None, text
    assert finding is not None
    assert finding.mend
    return finding


def shown(value: object) -> str:
    """Return a tree without its places, every bracket written."""
    match value:
        case Name(name=name):
            return name
        case Number(value=number, unit=unit):
            return f"{number:g}{unit}"
        case String(value=text):
            return repr(text)
        case Boolean(value=truth):
            return str(truth).lower()
        case TimeOfDay(minutes=minutes):
            return f"{minutes // 60:02d}:{minutes % 60:02d}"
        case Attribute(base=base, name=name):
            return f"{shown(base)}.{name}"
        case Binary(op=op, left=left, right=right):
            return f"({shown(left)} {op} {shown(right)})"
        case Unary(op=op, operand=operand):
            return f"({op} {shown(operand)})"
        case Logic(op=op, operands=operands):
            return "(" + f" {op} ".join(map(shown, operands)) + ")"
        case Compare(first=first, rest=rest):
            return (
                "("
                + " ".join([shown(first), *(f"{op} {shown(right)}" for op, right in rest)])
                + ")"
            )
        case ListOf(items=items):
            return "[" + ", ".join(map(shown, items)) + "]"
        case Call(function=function, arguments=arguments, keywords=keywords):
            given_ = [*map(shown, arguments), *(f"{name}={shown(each)}" for name, each in keywords)]
            return f"{shown(function)}({', '.join(given_)})"
        case Conditional(then=then, condition=condition, otherwise=otherwise):
            return f"({shown(then)} if {shown(condition)} else {shown(otherwise)})"
        case Becomes(subject=subject, value=becomes):
            return f"({shown(subject)} becomes {shown(becomes)})"
        case Changes(subject=subject):
            return f"({shown(subject)} changes)"
        case Crosses(leaves=leaves, subject=None):
            return "leaves" if leaves else "enters"
        case Crosses(leaves=leaves, subject=subject, place=place):
            return f"({shown(subject)} {'leaves' if leaves else 'enters'} {shown(place)})"
        case Every(seconds=seconds):
            return f"(every {seconds:g} s)"
        case AtTime(time=time):
            return f"(at {shown(time)})"
        case Sequence(first=first, second=second, within_s=within):
            return f"({shown(first)} then {shown(second)} within {within:g} s)"
        case Without(first=first, missing=missing, within_s=within):
            return f"({shown(first)} without {shown(missing)} within {within:g} s)"
        case Silence(event=event, for_s=length):
            return f"(no {shown(event)} for {length:g} s)"
        case Repeats(count=count, event=event, within_s=within):
            return f"({count} times {shown(event)} within {within:g} s)"
    raise AssertionError(value)


class TestOperators:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("a and b or c and d", "((a and b) or (c and d))"),
            ("a and b and c", "(a and b and c)"),
            ("not a and b", "((not a) and b)"),
            ("not a < b", "(not (a < b))"),
            ("not not a", "(not (not a))"),
            ("a < b <= c", "(a < b <= c)"),
            ("a + b * c - d", "((a + (b * c)) - d)"),
            ("a - b - c", "((a - b) - c)"),
            ("a / b % c", "((a / b) % c)"),
            ("-a * b", "((- a) * b)"),
            ("a - -b", "(a - (- b))"),
            ("a--b", "(a - (- b))"),
            ("a < b + 1", "(a < (b + 1))"),
            ("(a or b) and c", "((a or b) and c)"),
            ("a in [b, c]", "(a in [b, c])"),
            ("a in (b, c,)", "(a in [b, c])"),
            ("a not in b.c", "(a not in b.c)"),
            ("a == b != c", "(a == b != c)"),
            ("a if b else c if d else e", "(a if b else (c if d else e))"),
            ("a + 1 if b or c else 2", "((a + 1) if (b or c) else 2)"),
            ("(a if b else c).d", "(a if b else c).d"),
        ],
    )
    def test_binding(self, text: str, tree: str) -> None:
        """Operators bind as in Python."""
        assert shown(parse(text)) == tree


class TestPaths:
    def test_any_word_after_a_dot(self) -> None:
        """After a dot every word is a name, those of the language too."""
        for word in sorted(RESERVED | {"class", "level", "is", "lambda"}):
            assert shown(parse(f"x.{word}.y > 1")) == f"(x.{word}.y > 1)"

    def test_calls(self) -> None:
        """Calls take arguments and keywords; a word of the language may be a keyword."""
        text = "nearest(2, camera, to=zone.location, within=150 m, where=camera.online and not camera.off)"
        assert shown(parse(text)) == (
            "nearest(2, camera, to=zone.location, within=150m, where=(camera.online and (not camera.off)))"
        )
        assert shown(parse('plan("snow").level >= 2')) == "(plan('snow').level >= 2)"
        assert shown(parse("forecast.snow(12 h)")) == "forecast.snow(12h)"
        assert shown(parse("f(for=1, in=2, if=3)")) == "f(for=1, in=2, if=3)"
        assert shown(parse("f()")) == "f()"

    def test_changes_is_a_function_too(self) -> None:
        """`changes(point, window)` counts, `point changes` is an event."""
        assert shown(parse("changes(door.open, 10 min) > 3")) == "(changes(door.open, 10min) > 3)"
        assert shown(parse("door.open changes")) == "(door.open changes)"


class TestLiterals:
    @pytest.mark.parametrize(
        ("text", "value", "unit"),
        [
            ("3", 3.0, ""),
            ("2.5e3", 2500.0, ""),
            ("-1 °C", -1.0, "°C"),
            ("60 veh/h", 60.0, "veh/h"),
            ("60veh/h", 60.0, "veh/h"),
            ("9 µg/m³", 9.0, "µg/m³"),
            ("9 μg/m3", 9.0, "µg/m3"),
            ("0.5 cd/m²", 0.5, "cd/m²"),
            ("30 %", 30.0, "%"),
            ("30%", 30.0, "%"),
            ("2 min", 2.0, "min"),
            ("2 min 30 s", 150.0, "s"),
            ("1 h 2 min 3 s", 3723.0, "s"),
            ("-2 min 30 s", -150.0, "s"),
            ("1 d 12 h", 129600.0, "s"),
            ("10 kW·h", 10.0, "kW·h"),
        ],
    )
    def test_quantity(self, text: str, value: float, unit: str) -> None:
        """A number takes the unit that follows it; the parts of a duration add up."""
        tree = parse(text)
        assert isinstance(tree, Number)
        assert (tree.value, tree.unit) == (value, unit)
        assert tree.at.length == len(text)

    @pytest.mark.parametrize(
        "word",
        ["if", "else", "and", "or", "in", "not", "then", "within", "for", "times", "without"],
    )
    def test_keywords_are_no_units(self, word: str) -> None:
        """A word of the language behind a number stays one."""
        _, finding = parse_expression(f"5 {word}", locate)
        assert finding is not None
        assert finding.code != "E159"

    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ("50 % 7", "(50 % 7)"),
            ("50 % x", "(50 % x)"),
            ("50 % (x)", "(50 % x)"),
            ("x % 7", "(x % 7)"),
            ("x < 50 % and y", "((x < 50%) and y)"),
            ("50 % if x else 40 %", "(50% if x else 40%)"),
            ("(50 %)", "50%"),
            ("50 % - 5 %", "(50% - 5%)"),
            ("x in [10 %, 20 %]", "(x in [10%, 20%])"),
        ],
    )
    def test_percent(self, text: str, tree: str) -> None:
        """Behind a number `%` is percent, unless an operand starts right after it."""
        assert shown(parse(text)) == tree

    def test_division_by_a_name(self) -> None:
        """A stroke before a word that is no unit divides."""
        assert shown(parse("100 m/speed")) == "(100m / speed)"
        assert shown(parse("100 m/bus.speed")) == "(100m / bus.speed)"

    def test_others(self) -> None:
        """Texts in either quotes, times of day, true and false are values."""
        assert parse("'a \"b\"'") == String(locate(0, 7), 'a "b"')
        assert shown(parse('"it\\"s" == x')) == "('it\"s' == x)"
        assert shown(parse("time >= 22:30 or time < 6:00")) == "((time >= 22:30) or (time < 06:00))"
        assert shown(parse("x == true")) == "(x == true)"


class TestEvents:
    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            ('zone.alarm becomes "triggered"', "(zone.alarm becomes 'triggered')"),
            ("(x > 5) becomes true", "((x > 5) becomes true)"),
            ("x changes or y enters z", "((x changes) or (y enters z))"),
            ("bus leaves junction.area", "(bus leaves junction.area)"),
            ("enters", "enters"),
            ("enters or leaves", "(enters or leaves)"),
            ("every 15 min", "(every 900 s)"),
            ("at 22:30", "(at 22:30)"),
            ("at sunset - 30 min", "(at (sunset - 30min))"),
            ("x becomes a and y > 3", "((x becomes a) and (y > 3))"),
        ],
    )
    def test_event(self, text: str, tree: str) -> None:
        """Events stand where a comparison may stand."""
        assert shown(parse(text)) == tree

    @pytest.mark.parametrize(
        ("text", "tree"),
        [
            (
                "a changes then b becomes c within 30 s",
                "((a changes) then (b becomes c) within 30 s)",
            ),
            (
                "a then b within 1 s then c within 1 h",
                "((a then b within 1 s) then c within 3600 s)",
            ),
            ("a or b without c within 2 min 30 s", "((a or b) without c within 150 s)"),
            ("no a for 10 min and b", "((no a for 600 s) and b)"),
            ("not no a for 10 min", "(not (no a for 600 s))"),
            ("5 times a changes within 2 min", "(5 times (a changes) within 120 s)"),
            ("no (a then b within 5 s) for 1 h", "(no (a then b within 5 s) for 3600 s)"),
        ],
    )
    def test_pattern(self, text: str, tree: str) -> None:
        """Patterns bind loosest; `no` and `times` end with their duration."""
        assert shown(parse(text)) == tree

    def test_contextual_words(self) -> None:
        """`no` and `at` are plain words where no event follows."""
        assert shown(parse("x == no")) == "(x == no)"
        assert shown(parse("at")) == "at"


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "code", "column"),
        [
            ("", "E150", 1),
            ("   ", "E150", 1),
            ("a = 3", "E152", 3),
            ("a && b", "E151", 3),
            ("!a", "E151", 1),
            ("a ≤ b", "E151", 3),
            ("(a", "E155", 3),
            ("f(a, ", "E155", 5),
            ("a)", "E156", 2),
            ("[a)", "E156", 3),
            ("a b", "E154", 3),
            ("a, b", "E154", 2),
            ("a and", "E153", 6),
            ("x + * y", "E153", 5),
            ("x.", "E153", 3),
            ("then x", "E166", 1),
            ("becomes", "E166", 1),
            ("x becomes", "E153", 10),
            ("x < y becomes z", "E169", 7),
            ("x becomes y becomes z", "E169", 3),
            ("x becomes > 5", "E169", 3),
            ("x changes == 3", "E169", 3),
            ("x enters", "E167", 3),
            ("a then b", "E167", 9),
            ("a then b within 30", "E168", 17),
            ("a then b within 30 m", "E168", 17),
            ("a then b within 0 s", "E119", 17),
            ("every", "E168", 6),
            ("0 times a within 3 s", "E170", 1),
            ("5 kmh", "E159", 3),
            ("5 min 2", "E160", 1),
            ("30 s 2 min", "E160", 1),
            ("30%%", "E175", 3),
            ("1.", "E158", 1),
            (".5", "E158", 1),
            ("bus-7.delay", "E158", 5),
            ("1e999", "E158", 1),
            ("24:00", "E161", 1),
            ("'abc", "E157", 1),
            ("'a\\q'", "E157", 3),
            ("x[0]", "E163", 2),
            ("lambda x: x", "E164", 1),
            ("f'x'", "E164", 1),
            ("r'x'", "E164", 1),
            ("'a'.upper()", "E164", 4),
            ("x is true", "E165", 3),
            ("True", "E165", 1),
            ("a AND b", "E165", 3),
            ("a if b", "E173", 3),
            ("[]", "E174", 1),
            ("()", "E174", 1),
            ("(a)(b)", "E172", 4),
            ("f(a=1, b)", "E171", 8),
            ("f(a=1, a=2)", "E171", 8),
            ("x not y", "E153", 7),
            ("x ** 2", "E151", 3),
            ("x = y = z", "E152", 3),
            ("enters x", "E166", 1),
            ("x %", "E153", 3),
            ("22h30", "E161", 1),
            ("count(bus where bus.late)", "E154", 11),
        ],
    )
    def test_mistake(self, text: str, code: str, column: int) -> None:
        """Each mistake has its own finding at its place."""
        finding = refuse(text)
        assert (finding.code, finding.at.column) == (code, column)

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("kmh", "km/h"),
            ("km/hour", "km/h"),
            ("sec", "s"),
            ("minutes", "min"),
            ("vehs/h", "veh/h"),
            ("KW", "kW"),
            ("C", "°C"),
            ("lux", "lx"),
            ("percent", "%"),
            ("ug/m3", "µg/m3"),
        ],
    )
    def test_nearest_unit(self, written: str, meant: str) -> None:
        """An unknown unit is answered with the one that is meant."""
        assert refuse(f"5 {written}").label == f'did you mean "{meant}"?'


class TestLimits:
    def test_characters(self) -> None:
        """An expression has at most two thousand characters."""
        parse("a" * 2000)
        assert refuse("a" * 2001).code == "E162"

    @pytest.mark.parametrize(
        "opening", ["(", "[", "-", "not ", "f(", "a if b else ", "no ", "at ", "3 times "]
    )
    def test_depth(self, opening: str) -> None:
        """Whatever nests, nests fifty deep at the most."""
        assert refuse(opening * 60 + "a").code == "E162"

    def test_chains(self) -> None:
        """Long chains of operators are bounded too, since they make deep trees."""
        parse("+".join("a" * 50))
        assert refuse("+".join("a" * 60)).code == "E162"
        assert refuse("a" + ".b" * 60).code == "E162"
        parse(" and ".join("a" * 100))

    def test_parts(self) -> None:
        """An expression has at most five hundred parts."""
        parse("f(" + ",".join("a" * 490) + ")")
        assert refuse("f(" + ",".join("a" * 510) + ")").code == "E162"


class TestPeopleTexts:
    def test_pieces(self) -> None:
        """Plain pieces and expressions come in turn, each with its place."""
        text, findings = parse_text("Intrusion in {zone.building.name}, {names(cams)}", locate)
        assert findings == []
        assert [part if isinstance(part, str) else shown(part) for part in text.parts] == [
            "Intrusion in ",
            "zone.building.name",
            ", ",
            "names(cams)",
        ]
        assert isinstance(text.parts[1], Expr)
        assert text.parts[1].at == locate(14, 18)

    def test_braces(self) -> None:
        """Doubled braces are braces; one in a quoted text inside an expression is too."""
        text, findings = parse_text('{{x}} {f("}")}', locate)
        assert findings == []
        assert [part if isinstance(part, str) else shown(part) for part in text.parts] == [
            "{x} ",
            "f('}')",
        ]

    @pytest.mark.parametrize(
        ("written", "found"),
        [
            ("a {", [("E176", 3)]),
            ("a } b", [("E177", 3)]),
            ("{}", [("E150", 2)]),
            ("{a b} and {c &&}", [("E154", 4), ("E151", 14)]),
            ("{x:.1f}", [("E179", 3)]),
            ("{ {x} }", [("E176", 1)]),
        ],
    )
    def test_mistakes(self, written: str, found: list[tuple[str, int]]) -> None:
        """All mistakes of a text are told, each at its place."""
        _, findings = parse_text(written, locate)
        assert [(finding.code, finding.at.column) for finding in findings] == found

    def test_plain(self) -> None:
        """A text without braces is one piece, an empty one too."""
        assert parse_text("plain", locate)[0].parts == ("plain",)
        assert parse_text("", locate)[0].parts == ("",)


class TestQuantities:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("90 s", 90),
            ("2 min 30 s", 150),
            ("1 h", 3600),
            ("7 d", 604800),
            ("500 ms", 0.5),
            ("1.5 h", 5400),
            ("0 s", 0),
        ],
    )
    def test_duration(self, text: str, seconds: float) -> None:
        """A duration is given in seconds."""
        assert parse_duration(text, locate) == (seconds, None)

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("90", "E118"),
            ("-3 s", "E118"),
            ("5 m", "E118"),
            ("3 sec", "E159"),
            ("soon", "E118"),
            ("", "E118"),
        ],
    )
    def test_no_duration(self, text: str, code: str) -> None:
        """What is no duration is told with its mend."""
        seconds, finding = parse_duration(text, locate)
        assert seconds is None
        assert finding is not None
        assert finding.code == code

    def test_length_and_percentage(self) -> None:
        """A distance is given in metres, a percentage as a share."""
        assert parse_length("1.2 km", locate) == (1200.0, None)
        assert parse_length("0 m", locate)[0] is None
        assert parse_length("3 s", locate)[0] is None
        assert parse_percentage("80 %", locate) == 0.8
        assert parse_percentage("120 %", locate) is None
        assert parse_percentage("0.8", locate) is None


# ── random ones ──────────────────────────────────────────────────────────────────────────────

_AT = locate(0, 1)
_names = st.sampled_from(["a", "bus", "is_night", "quiet_flow", "time", "sun"])
_leaves = st.one_of(
    _names.map(lambda name: Name(_AT, name)),
    st.tuples(
        st.integers(0, 999), st.sampled_from(["", "s", "min", "%", "veh/h", "°C", "µg/m³"])
    ).map(lambda pair: Number(_AT, float(pair[0]), pair[1])),
    st.text(alphabet="ab }{'\"\\", max_size=5).map(lambda text: String(_AT, text)),
    st.integers(0, 1439).map(lambda minutes: TimeOfDay(_AT, minutes)),
    st.booleans().map(lambda truth: Boolean(_AT, truth)),
)


def _compound(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    pairs = st.tuples(inner, inner)
    seconds = st.integers(1, 5000).map(float)
    many = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.tuples(st.sampled_from("+-*/%"), inner, inner).map(lambda x: Binary(_AT, *x)),
        st.tuples(st.sampled_from(["and", "or"]), many).map(lambda x: Logic(_AT, *x)),
        st.tuples(
            inner,
            st.lists(
                st.tuples(st.sampled_from(["<", "==", "in", "not in"]), inner),
                min_size=1,
                max_size=2,
            ).map(tuple),
        ).map(lambda x: Compare(_AT, *x)),
        inner.map(lambda x: Unary(_AT, "not", x)),
        st.tuples(inner, inner, inner).map(lambda x: Conditional(_AT, *x)),
        many.map(lambda x: ListOf(_AT, x)),
        st.tuples(_names, many, inner).map(
            lambda x: Call(_AT, Name(_AT, x[0]), x[1], (("within", x[2]),))
        ),
        st.tuples(_names, st.sampled_from(["class", "level", "for"])).map(
            lambda x: Attribute(_AT, Name(_AT, x[0]), x[1], _AT)
        ),
        pairs.map(lambda x: Becomes(_AT, *x)),
        inner.map(lambda x: Changes(_AT, x)),
        st.tuples(st.booleans(), inner, inner).map(lambda x: Crosses(_AT, *x)),
        st.tuples(inner, inner, seconds).map(lambda x: Sequence(_AT, *x)),
        st.tuples(inner, inner, seconds).map(lambda x: Without(_AT, *x)),
        st.tuples(inner, seconds).map(lambda x: Silence(_AT, *x)),
        st.tuples(st.integers(1, 9), inner, seconds).map(lambda x: Repeats(_AT, *x)),
    )


def printed(tree: Expr) -> str:
    """Return the text of a tree, brackets around everything compound."""
    if isinstance(tree, String):
        escaped = tree.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(tree, Number):
        return f"({tree.value:g} {tree.unit})"
    text = shown_with(tree)
    return text


def shown_with(tree: Expr) -> str:
    """Return what `shown` writes, with texts as the language writes them."""
    match tree:
        case Name() | TimeOfDay() | Boolean() | Attribute():
            return shown(tree)
        case Binary(op=op, left=left, right=right):
            return f"({printed(left)} {op} {printed(right)})"
        case Unary(op=op, operand=operand):
            return f"({op} {printed(operand)})"
        case Logic(op=op, operands=operands):
            return "(" + f" {op} ".join(map(printed, operands)) + ")"
        case Compare(first=first, rest=rest):
            return (
                "("
                + " ".join([printed(first), *(f"{op} {printed(each)}" for op, each in rest)])
                + ")"
            )
        case ListOf(items=items):
            return "[" + ", ".join(map(printed, items)) + "]"
        case Call(function=function, arguments=arguments, keywords=keywords):
            given_ = [
                *map(printed, arguments),
                *(f"{name}={printed(each)}" for name, each in keywords),
            ]
            return f"{printed(function)}({', '.join(given_)})"
        case Conditional(then=then, condition=condition, otherwise=otherwise):
            return f"({printed(then)} if {printed(condition)} else {printed(otherwise)})"
        case Becomes(subject=subject, value=becomes):
            return f"({printed(subject)} becomes {printed(becomes)})"
        case Changes(subject=subject):
            return f"({printed(subject)} changes)"
        case Crosses(leaves=leaves, subject=Expr() as subject, place=Expr() as place):
            return f"({printed(subject)} {'leaves' if leaves else 'enters'} {printed(place)})"
        case Sequence(first=first, second=second, within_s=within):
            return f"({printed(first)} then {printed(second)} within {within:g} s)"
        case Without(first=first, missing=missing, within_s=within):
            return f"({printed(first)} without {printed(missing)} within {within:g} s)"
        case Silence(event=event, for_s=length):
            return f"(no {printed(event)} for {length:g} s)"
        case Repeats(count=count, event=event, within_s=within):
            return f"({count} times {printed(event)} within {within:g} s)"
    raise AssertionError(tree)


def same(one: object, other: object) -> bool:
    """Return whether two trees say the same, wherever they stand."""
    if isinstance(one, Span):
        return isinstance(other, Span)
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Expr):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
        )
    return one == other


_trees = st.recursive(_leaves, _compound, max_leaves=12)


class TestRandom:
    @settings(max_examples=400, deadline=None)
    @given(_trees)
    def test_round_trip(self, tree: Expr) -> None:
        """What is printed from a tree is read as the same tree."""
        assert same(parse(printed(tree)), tree)

    @settings(max_examples=400, deadline=None)
    @given(_trees)
    def test_places(self, tree: Expr) -> None:
        """The text at the place of every part is that part."""
        text = printed(tree)
        waiting = [parse(text)]
        while waiting:
            part = waiting.pop()
            start = part.at.column - 1
            assert same(parse(text[start : start + part.at.length]), part)
            waiting.extend(children(part))

    @settings(max_examples=500, deadline=None)
    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        """No text makes the parser raise; it gives a tree or a finding, never both."""
        tree, finding = parse_expression(text, locate)
        assert (tree is None) != (finding is None)
        parse_text(text, locate)
        parse_duration(text, locate)

    @settings(max_examples=800, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [*sorted(RESERVED), "a", ".", ",", "(", ")", "[", "]", "=", "==", "<", "-", "+", "%", "30", "30 s", "5 kmh",
                 "22:30", "'x'", '"', "{", "}", "is", "lambda", ":", "µ", "²"]
            ),
            max_size=12,
        ),
        st.booleans(),
    )  # fmt: skip
    def test_any_words(self, words: list[str], is_tight: bool) -> None:
        """Nor does any row of words and signs."""
        text = ("" if is_tight else " ").join(words)
        tree, finding = parse_expression(text, locate)
        assert (tree is None) != (finding is None)
        parse_text("{" + text + "}", locate)
