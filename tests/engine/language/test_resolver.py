"""Names become points, numbers get units, and wording says it back."""

from __future__ import annotations

import pytest

from pilotage.language import typed
from pilotage.language.compiler import compile_expression
from pilotage.language.expressions import parse_expression
from pilotage.language.resolver import Resolver, Vocabulary
from pilotage.language.wording import wording
from pilotage.model.diagnostics import Finding, Span
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import BOOLEAN, POSITION, TEXT, Base, enum, number, reference

STREET = Kind(
    "street",
    "Street",
    (
        PointSpec("flow", number("veh/h")),
        PointSpec("speed", number("km/h")),
        PointSpec("temperature", number("°C")),
        PointSpec("x", number()),
        PointSpec("wet", BOOLEAN),
        PointSpec("light", enum("red", "green")),
        PointSpec("lights.level", number("%"), Access.BOTH),
        PointSpec("class", TEXT),
        PointSpec("next", reference("street")),
        PointSpec("place", POSITION),
    ),
    relations={"neighbours": "street"},
)


def resolve(text: str) -> tuple[typed.Typed | None, list[Finding]]:
    """Return a typed expression about one street, and what is wrong with it."""
    found: list[Finding] = []
    span = Span("r.yaml", 1, 1, 1)
    expr, problem = parse_expression(text, lambda offset, length: span)
    assert expr is not None, problem
    scope = {"street": reference("street")}
    node = Resolver(Vocabulary({"street": STREET}), found, scope).value(expr)
    return node, found


def sure(text: str) -> typed.Typed:
    node, found = resolve(text)
    assert node is not None, [f.message for f in found]
    return node


class TestUnits:
    @pytest.mark.parametrize(
        ("text", "value", "unit"),
        [
            # by hand, from the definitions of the units
            ("90 km/h + 0 m/s", 90.0, "km/h"),
            ("10 m/s + 36 km/h", 20.0, "m/s"),
            ("1 h - 30 min", 0.5, "h"),
            ("2 * 30 %", 60.0, "%"),
            ("1 km / 1 m", 1000.0, ""),
            ("7 % 4", 3.0, ""),
            ("-3 °C", -3.0, "°C"),
            ("20 °C - 18 °C", 2.0, "K"),
        ],
    )
    def test_constants(self, text: str, value: float, unit: str) -> None:
        """Sums of constants are worked out once, in the unit of the first."""
        node = sure(text)
        assert isinstance(node, typed.Const)
        assert node.value == pytest.approx(value)
        assert str(node.type.unit) == unit

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("street.speed > 10 m/s", 36.0),
            ("10 m/s < street.speed", 36.0),
            ("street.temperature > 280.15 K", 7.0),
            ("street.flow > 1 veh/min", 60.0),
        ],
    )
    def test_literal_in_the_points_unit(self, text: str, value: float) -> None:
        """A literal is converted when it is read, not at each evaluation."""
        node = sure(text)
        assert isinstance(node, typed.Comparison)
        constants = [n.value for n in (node.left, node.right) if isinstance(n, typed.Const)]
        assert constants == [pytest.approx(value)]

    @pytest.mark.parametrize(
        "text",
        [
            "street.flow > 30 km/h",
            "street.flow + street.speed",
            "street.speed > 30",
            "street.wet + 1",
            "street.light < green",
            "street.light == blue",
            'street.class > "a"',
            "street.nothing",
            "nothing.here",
            "street.neighbours.x > 2",
            "street.x.y",
            "street.x and street.wet",
            "avg(street.wet, street.x)",
            "age(street.x + 1) > 5 s",
            "wanted(street.x) > 5",
            "distance(street.x, street) > 5 m",
            'plan("none").level > 1',
        ],
    )
    def test_refused(self, text: str) -> None:
        """What has no meaning is refused once, with words and a mend where there is one."""
        node, found = resolve(text)
        assert node is None
        assert len(found) == 1 and found[0].is_error and found[0].message


class TestNames:
    def test_longest_point_wins(self) -> None:
        """`lights.level` is one point, though it has a dot; any word may stand after a dot."""
        node = sure("street.next.lights.level > 5 %")
        assert isinstance(node, typed.Comparison) and isinstance(node.left, typed.Read)
        assert node.left.point == "lights.level"
        assert sure('street.class == "M3"').type.base is Base.BOOLEAN

    def test_member_of_the_other_side(self) -> None:
        """A bare word is a member of what it is compared with, on either side."""
        for text in ("street.light == green", "green == street.light", 'street.light == "green"'):
            node = sure(text)
            assert isinstance(node, typed.Comparison)
            assert {type(node.left), type(node.right)} == {typed.Read, typed.Const}


class TestWording:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("street.speed > 10 m/s", "street.speed > 36 km/h"),
            ("not (street.wet or street.x > 3)", "not (street.wet or street.x > 3)"),
            ("street.x * (street.x + 1) > 5", "(street.x * (street.x + 1)) > 5"),
            ("22:30 <= time < 05:00", "22:30 <= time or time < 05:00"),
            ("avg(street.flow, 15 min) < 60 veh/h", "avg(street.flow, 15 min) < 60 veh/h"),
            ("street.light in [red, green]", "street.light in [red, green]"),
            ("street.light not in [red]", "street.light not in [red]"),
            ("age(street.x) > 90 s", "age(street.x) > 90 s"),
            (
                "count(street.neighbours, where=street.wet) > 1",
                "count(street.neighbours, where=street.wet) > 1",
            ),
            ("known(street.next.x)", "known(street.next.x)"),
            ("(1 if street.wet else 2) > street.x", "(1 if street.wet else 2) > street.x"),
            (
                "street.wet then street.x > 3 within 30 s",
                "street.wet becomes true then street.x > 3 becomes true within 30 s",
            ),
            ("no street.flow changes for 90 s", "no street.flow changes for 90 s"),
            ("3 times street.wet within 1 h", "3 times street.wet becomes true within 1 h"),
        ],
    )
    def test_says_it_back(self, text: str, said: str) -> None:
        """Explanations speak the language of the files, in the units of the points."""
        assert wording(sure(text)) == said

    @pytest.mark.parametrize(
        "text",
        [
            "not (street.wet or street.x > 3)",
            "street.x * (street.x + 1) > 5",
            "(street.wet == (street.x > 3)) and street.wet",
            "-(street.x + 1) < -2",
            "street.x - (street.x - 1) > 0",
        ],
    )
    def test_means_the_same(self, text: str) -> None:
        """What is said back, read again, is said the same: no bracket is lost."""
        said = wording(sure(text))
        assert wording(sure(said)) == said


class TestCompiled:
    def test_no_text_of_a_file_in_the_source(self) -> None:
        """Names and texts go in as closure variables: what somebody writes is never code."""
        evil = '__import__("os").abort()'
        node = sure(f"street.class == '{evil}' or street.class in ['{evil}', 'x']")
        compiled = compile_expression(node)
        assert "import" not in compiled.source and "abort" not in compiled.source
        assert "street" not in compiled.source and "class" not in compiled.source

    def test_reads_once(self) -> None:
        """A point that is read twice is one closure variable."""
        compiled = compile_expression(sure("street.x > 1 and street.x < 5 and street.x != 3"))
        assert len(compiled.slots) == 1
