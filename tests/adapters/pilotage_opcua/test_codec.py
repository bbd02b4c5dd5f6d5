"""Addresses, status codes and values; the expected codes come from the library's own table of the norm."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, NUMBER, POSITION, TEXT, enum, set_of
from pilotage_opcua.codec import (
    GONE,
    REFUSALS,
    WHOLE,
    BadAddress,
    Garbage,
    fit,
    incoming,
    outgoing,
    parse_address,
    quality_of,
    show,
)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.floats()),
)


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "namespace", "identifier"),
        [
            ("i=2258", 0, 2258),
            ("ns=2;s=City.Level", 2, "City.Level"),
            ("ns=2;s=a;b=c", 2, "a;b=c"),
            ("nsu=urn:city:plc;i=7", "urn:city:plc", 7),
            ("ns=1;b=aGk=", 1, b"hi"),
            (
                "g=72962b91-fa75-4ae6-8d28-b404dc7daf63",
                0,
                uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63"),
            ),
        ],
    )
    def test_node_id(self, text: str, namespace: Any, identifier: Any) -> None:
        """A node id is what the norm writes."""
        address = parse_address(text).fill({})
        assert (address.namespace, address.identifier, address.steps) == (namespace, identifier, ())

    def test_path(self) -> None:
        """A value is one step of a path, whatever signs it has."""
        address = parse_address("/Objects/2:City/2:{id}").fill({"id": "3:a/b.c"})
        assert address.steps == ((0, "Objects"), (2, "City"), (2, "3:a/b.c"))

    @given(st.text())
    def test_no_other_error(self, text: str) -> None:
        """Any text is an address or a mistake that is told."""
        try:
            parse_address(text)
        except BadAddress as error:
            assert str(error)


class TestStatus:
    @pytest.mark.parametrize(
        ("name", "quality"),
        [
            ("Good", Quality.GOOD),
            ("GoodLocalOverride", Quality.GOOD),
            ("UncertainLastUsableValue", Quality.UNCERTAIN),
            ("UncertainSensorNotAccurate", Quality.UNCERTAIN),
            ("BadNoCommunication", Quality.BAD),
            ("BadSensorFailure", Quality.BAD),
        ],
    )
    def test_severity(self, name: str, quality: Quality) -> None:
        """The two upper bits say it."""
        assert quality_of(getattr(ua.StatusCodes, name)) is quality

    def test_reserved(self) -> None:
        """The severity that means nothing yet is bad."""
        assert quality_of(0xC000_0000) is Quality.BAD

    @pytest.mark.parametrize("code", REFUSALS)
    def test_names(self, code: int) -> None:
        """Each code is the one that the norm calls so."""
        assert getattr(ua.StatusCodes, REFUSALS[code]) == code

    def test_gone(self) -> None:
        """A node that is not there is a refusal."""
        assert set(REFUSALS) >= GONE


class TestIn:
    @pytest.mark.parametrize(
        ("type_", "raw", "value"),
        [
            (NUMBER, 3, 3),
            (BOOLEAN, 1, True),
            (BOOLEAN, False, False),
            (TEXT, ua.LocalizedText("rouge"), "rouge"),
            (enum("up", "down"), "down", "down"),
            (POSITION, [47.3, 5.0], (47.3, 5.0)),
            (set_of("bus"), ["b1"], ["b1"]),
        ],
    )
    def test_value(self, type_: Any, raw: Any, value: Any) -> None:
        """What fits the point's type passes."""
        assert incoming(type_)(raw) == value

    @pytest.mark.parametrize(
        ("type_", "raw"),
        [
            (NUMBER, "3"),
            (NUMBER, True),
            (NUMBER, math.nan),
            (NUMBER, math.inf),
            (NUMBER, [1.0]),
            (NUMBER, 10**400),
            (NUMBER, None),
            (BOOLEAN, 2),
            (BOOLEAN, "true"),
            (TEXT, 3),
            (enum("up", "down"), 1),
            (POSITION, [1.0]),
            (set_of("bus"), "b1"),
        ],
    )
    def test_garbage(self, type_: Any, raw: Any) -> None:
        """What does not is garbage, and the text shows it."""
        with pytest.raises(Garbage) as caught:
            incoming(type_)(raw)
        assert show(raw) in str(caught.value)

    @pytest.mark.parametrize("type_", [NUMBER, BOOLEAN, TEXT, enum("a"), POSITION, set_of("x")])
    @given(raw=ANYTHING)
    def test_no_other_error(self, type_: Any, raw: Any) -> None:
        """Whatever a server says is a value or garbage."""
        for convert in (incoming(type_, 0.1, 2.0), incoming(type_, table={"1": "a"})):
            try:
                convert(raw)
            except Garbage as error:
                assert str(error).isprintable()


class TestOut:
    @pytest.mark.parametrize(
        ("value", "type_", "fitted"),
        [
            (30.0, "UInt16", 30),
            (29.6, "Int16", 30),
            (True, "Byte", 1),
            (1, "Boolean", True),
            (5, "Double", 5.0),
            ("up", "String", "up"),
            ((47.3, 5.0), "Double", [47.3, 5.0]),
        ],
    )
    def test_fits(self, value: Any, type_: str, fitted: Any) -> None:
        """A value becomes what the node takes."""
        found = fit(value, type_)
        assert (found, type(found)) == (fitted, type(fitted))

    @pytest.mark.parametrize("type_", WHOLE)
    def test_ends_of_integers(self, type_: str) -> None:
        """The least and the greatest fit, one more does not; the sizes are those of the norm's built-in types."""
        bits = {"SByte": 8, "Byte": 8}.get(type_) or int(type_.lstrip("UInt"))
        is_signed = type_[0] != "U" and type_ != "Byte"
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
        assert (fit(low, type_), fit(high, type_)) == (low, high)
        for beyond in (low - 1, high + 1):
            with pytest.raises(Garbage, match="does not fit"):
                fit(beyond, type_)

    @pytest.mark.parametrize(
        ("value", "type_"),
        [("up", "Int16"), (math.nan, "Double"), (1e39, "Float"), (1, "DateTime"), (2, "Boolean")],
    )
    def test_refused(self, value: Any, type_: str) -> None:
        """What does not fit is never written."""
        with pytest.raises(Garbage):
            fit(value, type_)

    @given(st.floats(-1e6, 1e6), st.floats(0.01, 100), st.floats(-100, 100))
    def test_there_and_back(self, value: float, factor: float, addend: float) -> None:
        """What is written and read back is the same value, to nine digits of the largest part."""
        back = incoming(NUMBER, factor, addend)(outgoing(factor, addend)(value))
        assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-6)
