"""Values, units and records: what travels is plain, and reads the same everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.model.messages import Command, Decision, Relinquished
from pilotage.model.priorities import NEEDS_IF_UNKNOWN, RESERVED, Priority, parse_priority
from pilotage.model.quality import Quality
from pilotage.model.units import UnknownUnitError, conversion, parse_unit
from pilotage.model.values import TIME, Position, as_plain, enum, format_value, number


class TestUnits:
    @pytest.mark.parametrize(
        ("value", "a", "b", "expected"),
        [
            # SI brochure, 9th edition, and plain arithmetic
            (36.0, "km/h", "m/s", 10.0),
            (0.0, "°C", "K", 273.15),
            (300.0, "K", "°C", 26.85),
            (1.0, "kWh", "J", 3.6e6),
            (2.0, "h", "min", 120.0),
            (1.0, "veh/min", "veh/h", 60.0),
            (50.0, "%", "", 0.5),
        ],
    )
    def test_conversion(self, value: float, a: str, b: str, expected: float) -> None:
        """A conversion is a factor and, for temperatures, an addend."""
        factor, addend = conversion(parse_unit(a), parse_unit(b))
        assert value * factor + addend == pytest.approx(expected)

    @given(st.sampled_from(["km/h", "m/s", "h", "s", "°C", "K", "veh/h", "%", "W", "kWh", "m"]))
    def test_there_and_back(self, symbol: str) -> None:
        """Into the same unit nothing changes."""
        assert conversion(parse_unit(symbol), parse_unit(symbol)) == (1.0, 0.0)

    @pytest.mark.parametrize("symbol", ["furlong", "km/h/", "m^x", "//"])
    def test_unknown(self, symbol: str) -> None:
        """What is no unit is refused."""
        with pytest.raises(UnknownUnitError):
            parse_unit(symbol)


class TestPriorities:
    def test_sixteen(self) -> None:
        """Sixteen levels, by word or number; six of them must say what to do about doubts."""
        assert [p.value for p in Priority] == list(range(1, 17))
        assert all(
            parse_priority(p.word) is p and parse_priority(str(p.value)) is p for p in Priority
        )
        assert [p.word for p in sorted(RESERVED)] == ["minimum_time", "operator"]
        assert NEEDS_IF_UNKNOWN == 6

    @pytest.mark.parametrize("word", ["", "0", "17", "Saving", "SAVING", "-1", "1.5", "urgent"])
    def test_no_level(self, word: str) -> None:
        """Nothing else is one."""
        assert parse_priority(word) is None


class TestPlain:
    def test_shapes(self) -> None:
        """References become ids, positions pairs, sets lists."""

        class Thing:
            id = "s1"

        value = {"a": Thing(), "b": (Position(47.123456789, 5.0), Thing()), "c": None, "d": True}
        assert as_plain(value) == {"a": "s1", "b": [[47.1234568, 5.0], "s1"], "c": None, "d": True}

    @pytest.mark.parametrize(
        ("value", "type_", "text"),
        [
            (30.0, number("%"), "30 %"),
            (None, number("%"), "unknown"),
            (True, None, "true"),
            (1350.0, TIME, "22:30"),
            ("red", enum("red"), "red"),
            ((), None, "nothing"),
        ],
    )
    def test_words(self, value: object, type_: object, text: str) -> None:
        """People read units, times and words."""
        assert format_value(value, type_) == text  # type: ignore[arg-type]


class TestDecision:
    def test_what_leaves(self) -> None:
        """Only orders and notices leave."""
        command = Command("1-1", "p", 1.0, 5.0, "b")
        assert Decision(1, 0.0, (Relinquished("p", "b"), command)).outgoing == (command,)


def test_usable() -> None:
    """Good and uncertain may be read; everything else is unknown."""
    assert [q for q in Quality if q.is_usable] == [Quality.GOOD, Quality.UNCERTAIN]
