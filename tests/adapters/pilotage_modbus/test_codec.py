"""Numbers in registers, against bytes from the specification, from IEEE 754, or written by hand."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage_modbus.codec import (
    BIT,
    NUMBER_TYPES,
    Garbage,
    Layout,
    Table,
    scale_in,
    scale_out,
    translate_in,
    translate_out,
    truth_in,
    truth_out,
)

# type, little words, little bytes, registers, value. 1.0 is 3F 80 00 00 in IEEE 754, 123456789 is 07 5B CD 15 in
# hexadecimal, and -2 in two's complement is FE after as many FF as there is room for.
GOLDEN: list[tuple[str, bool, bool, list[int], float]] = [
    ("uint16", False, False, [0x022B], 555),  # V1.1b3, 6.3: the example's register 108
    ("uint16", False, True, [0x2B02], 555),
    ("uint16", False, False, [0xFFFF], 65_535),
    ("int16", False, False, [0xFFFE], -2),
    ("int16", False, True, [0xFEFF], -2),
    ("int16", False, False, [0x8000], -32_768),
    ("uint32", False, False, [0x075B, 0xCD15], 123_456_789),
    ("uint32", True, False, [0xCD15, 0x075B], 123_456_789),
    ("uint32", False, True, [0x5B07, 0x15CD], 123_456_789),
    ("uint32", True, True, [0x15CD, 0x5B07], 123_456_789),
    ("int32", False, False, [0xFFFF, 0xFFFE], -2),
    ("int32", True, False, [0xFFFE, 0xFFFF], -2),
    ("uint64", False, False, [0, 0, 0x075B, 0xCD15], 123_456_789),
    ("uint64", True, False, [0xCD15, 0x075B, 0, 0], 123_456_789),
    ("int64", False, False, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2),
    ("float32", False, False, [0x3F80, 0x0000], 1.0),
    ("float32", True, False, [0x0000, 0x3F80], 1.0),
    ("float32", False, True, [0x803F, 0x0000], 1.0),
    ("float32", False, False, [0xC2F6, 0xE000], -123.4375),
    ("float64", False, False, [0x3FF0, 0, 0, 0], 1.0),
    ("float64", True, False, [0, 0, 0, 0x3FF0], 1.0),
]


class TestNumbers:
    @pytest.mark.parametrize(("type_", "words", "bytes_", "registers", "value"), GOLDEN)
    def test_golden(
        self, type_: str, words: bool, bytes_: bool, registers: list[int], value: float
    ) -> None:
        """Each type and order, both ways."""
        layout = Layout(type_, words, bytes_)
        assert layout.decode(registers) == value
        assert layout.encode(value) == registers
        assert layout.width == len(registers)

    @pytest.mark.parametrize("type_", NUMBER_TYPES)
    @pytest.mark.parametrize("little_words", [False, True])
    @pytest.mark.parametrize("little_bytes", [False, True])
    @given(data=st.binary(min_size=8, max_size=8))
    def test_any_bytes(
        self, type_: str, little_words: bool, little_bytes: bool, data: bytes
    ) -> None:
        """Whatever stands in registers comes back the same, or is garbage."""
        layout = Layout(type_, little_words, little_bytes)
        registers = list(struct.unpack(">4H", data))[: layout.width]
        try:
            value = layout.decode(registers)
        except Garbage:
            assert layout.is_float
        else:
            assert layout.encode(value) == registers

    @pytest.mark.parametrize(
        ("type_", "low", "high"),
        [
            ("int16", -32_768, 32_767),
            ("uint16", 0, 65_535),
            ("int32", -(2**31), 2**31 - 1),
            ("uint32", 0, 2**32 - 1),
            ("uint64", 0, 2**64 - 1),
        ],
    )
    def test_range(self, type_: str, low: int, high: int) -> None:
        """What does not fit is refused, never wrapped."""
        layout = Layout(type_)
        assert (layout.decode(layout.encode(low)), layout.decode(layout.encode(high))) == (
            low,
            high,
        )
        for value in (low - 1, high + 1, high + 0.6):
            with pytest.raises(Garbage, match="does not fit in a"):
                layout.encode(value)

    @pytest.mark.parametrize("type_", NUMBER_TYPES)
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "7", None, [1]])
    def test_no_number(self, type_: str, value: Any) -> None:
        """Only finite numbers are written."""
        with pytest.raises(Garbage, match="is no number"):
            Layout(type_).encode(value)

    def test_too_large_for_a_float(self) -> None:
        """A number that a float32 cannot hold does not become infinity."""
        with pytest.raises(Garbage, match=r"1e\+39 does not fit in a float32"):
            Layout("float32").encode(1e39)

    @pytest.mark.parametrize("registers", [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]])
    def test_nan_and_infinity(self, registers: list[int]) -> None:
        """NaN, infinity and its opposite are no values (IEEE 754: all bits of the exponent set)."""
        with pytest.raises(Garbage, match="is no number"):
            Layout("float32").decode(registers)

    @pytest.mark.parametrize(("value", "written"), [(1.4, 1), (1.6, 2), (-1.6, -2)])
    def test_rounds(self, value: float, written: int) -> None:
        """A whole type takes the nearest number."""
        layout = Layout("int16")
        assert layout.decode(layout.encode(value)) == written


class TestBits:
    @pytest.mark.parametrize("bit", range(16))
    def test_counted_from_the_low_end(self, bit: int) -> None:
        """Bit 0 is the one with the value 1, bit 15 the one with 32768."""
        layout = Layout("uint16", mask=1 << bit)
        assert layout.decode([2**bit]) == 1
        assert layout.decode([0xFFFF - 2**bit]) == 0
        assert layout.encode(1) == [2**bit]

    def test_field(self) -> None:
        """The bits 4 to 7 of 0x12A4 are A, and hold 0 to 15."""
        layout = Layout("uint16", mask=0x00F0)
        assert (layout.decode([0x12A4]), layout.range) == (0xA, (0, 15))
        assert layout.encode(5) == [0x0050]
        with pytest.raises(Garbage, match="16 does not fit in the bits 0xf0 of a uint16: 0 to 15"):
            layout.encode(16)

    def test_after_the_bytes_are_in_order(self) -> None:
        """With the low byte first, bit 0 is in the high half of the register."""
        assert Layout("uint16", little_bytes=True, mask=1).decode([0x0100]) == 1
        assert Layout("uint16", little_bytes=True, mask=1).encode(1) == [0x0100]

    def test_of_two_registers(self) -> None:
        """Bit 16 of a uint32 is bit 0 of its high register."""
        assert Layout("uint32", mask=1 << 16).decode([1, 0]) == 1
        assert Layout("uint32", little_words=True, mask=1 << 16).decode([0, 1]) == 1

    def test_coil(self) -> None:
        """A coil is a truth, and takes 0 and 1 only."""
        layout = Layout(BIT)
        assert (layout.decode([True]), layout.encode(1), layout.encode(0)) == (True, [1], [0])
        with pytest.raises(Garbage, match="2 does not fit in a bit: 0 to 1"):
            layout.encode(2)


class TestConversions:
    def test_scale(self) -> None:
        """Tenths come in and go out without the dust of binary fractions."""
        assert scale_in(0.1, 0.0)(3) == 0.3
        assert scale_out(0.1, 0.0)(0.3) == 3.0
        assert scale_in(0.1, -40.0)(650) == 25.0
        assert scale_out(0.1, -40.0)(25.0) == 650.0

    def test_beyond_all_range(self) -> None:
        """A scaled number that overflows is garbage."""
        with pytest.raises(Garbage, match="beyond all range"):
            scale_in(1e12, 0.0)(1e308)

    def test_truth(self) -> None:
        """A truth is 0 or 1, nothing else."""
        assert (truth_in(1), truth_in(0), truth_in(True)) == (True, False, True)
        assert (truth_out(True), truth_out(False)) == (1, 0)
        with pytest.raises(Garbage, match="2 is neither 0 nor 1"):
            truth_in(2)
        with pytest.raises(Garbage, match="neither true nor false"):
            truth_out(1.0)

    def test_words(self) -> None:
        """A number has one word; a word that two numbers have is written as the first."""
        words = {0: "down", 1: "up", 9: "down"}
        assert [translate_in(words)(n) for n in words] == ["down", "up", "down"]
        assert translate_out(words)("down") == 0
        with pytest.raises(Garbage, match="7 is none of 0, 1, 9"):
            translate_in(words)(7)
        with pytest.raises(Garbage, match='"left" is none of down, up'):
            translate_out(words)("left")


def test_tables() -> None:
    """Coils and holding registers are written, coils and discrete inputs are bits (V1.1b3, 4.3)."""
    assert [t.value for t in Table if t.is_writable] == ["holding", "coil"]
    assert [t.value for t in Table if t.has_bits] == ["coil", "discrete"]
