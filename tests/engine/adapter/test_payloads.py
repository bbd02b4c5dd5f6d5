"""Golden payloads: expected values are written by hand from RFC 8259, ISO 8601 and the adapter's manual."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.adapter.payloads import (
    BadTemplate,
    Garbage,
    compile_path,
    compile_payload,
    decode_json,
    decode_plain,
    quality_of,
    scale_in,
    scale_out,
    slots_of,
    text_of,
    time_of,
    translate,
)
from pilotage.model.quality import Quality
from pilotage.model.values import BOOLEAN, POSITION, TEXT, Position, number

DOCUMENT = {"a": {"b": [{"c d": 7}, 8]}, "x-y": 1, "list": [1, 2], "text": "abc", "none": None}


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("$", DOCUMENT),
            ("$.x-y", 1),
            ("$.a.b[1]", 8),
            ('$.a.b[0]["c d"]', 7),
            ("$['a']['b'][0]['c d']", 7),
            ("$.none", None),
        ],
    )
    def test_finds(self, path: str, value: object) -> None:
        """A path leads through names and numbers to one value."""
        assert compile_path(path)(DOCUMENT) == value

    @pytest.mark.parametrize(
        "path", ["$.z", "$.a.z", "$.list[2]", "$.text[0]", "$.x-y.z", "$.list.a"]
    )
    def test_missing_is_garbage(self, path: str) -> None:
        """What is not there is garbage that names the path; a letter of a text is never an item."""
        with pytest.raises(Garbage) as caught:
            compile_path(path)(DOCUMENT)
        assert str(caught.value) == f"nothing at {path}"

    @pytest.mark.parametrize("document", [None, 5, "text", [1], True])
    def test_any_document(self, document: object) -> None:
        """A document of another shape is garbage too."""
        with pytest.raises(Garbage):
            compile_path("$.a")(document)

    @pytest.mark.parametrize(
        "path", ["a", "$a", "$.", "$..a", "$[x]", "$[-1]", '$["a]', "$.a b", ""]
    )
    def test_written_wrongly(self, path: str) -> None:
        """A text that is no path is refused when it is bound."""
        with pytest.raises(BadTemplate):
            compile_path(path)


class TestJson:
    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"{",
            b"nan",
            b"NaN",
            b"Infinity",
            b'{"a": -Infinity}',
            b"\xff\xfe",
            b'"\xc3\x28"',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"01",
            b"{'a': 1}",
            b'{"a": 1} x',
        ],
    )
    def test_garbage(self, payload: bytes) -> None:
        """What RFC 8259 does not allow is garbage, and so is a document too deep to hold."""
        with pytest.raises(Garbage):
            decode_json(payload)

    @given(st.binary(max_size=200))
    def test_never_another_error(self, payload: bytes) -> None:
        """Any bytes at all end in a document or in garbage."""
        try:
            decode_json(payload)
        except Garbage as error:
            assert str(error).isprintable()


class TestPlain:
    @pytest.mark.parametrize(
        ("payload", "type_", "value"),
        [
            (b"21.5", number("°C"), 21.5),
            (b" -3e2\n", number(), -300.0),
            (b"ON", BOOLEAN, True),
            (b"0", BOOLEAN, False),
            (b"False", BOOLEAN, False),
            (b"47.32, 5.04", POSITION, (47.32, 5.04)),
            ("fermé".encode(), TEXT, "fermé"),
        ],
    )
    def test_value(self, payload: bytes, type_: Any, value: object) -> None:
        """A payload that is nothing but the value is read as the point's type."""
        assert decode_plain(payload, type_) == value

    @pytest.mark.parametrize(
        ("payload", "type_"),
        [
            (b"nan", number()),
            (b"inf", number()),
            (b"1_000", number()),
            (b"12 V", number()),
            (b"", number()),
            (b"\xff", TEXT),
            (b"maybe", BOOLEAN),
            (b"2", BOOLEAN),
            (b"47.3", POSITION),
            (b"47.3,x", POSITION),
        ],
    )
    def test_garbage(self, payload: bytes, type_: Any) -> None:
        """A text that is no value of the type is garbage."""
        with pytest.raises(Garbage):
            decode_plain(payload, type_)


class TestTime:
    @pytest.mark.parametrize(
        "raw",
        [1_772_438_400, 1_772_438_400_000, "2026-03-02T08:00:00Z", "2026-03-02T09:00:00+01:00"],
    )
    def test_forms(self, raw: object) -> None:
        """Seconds, milliseconds and ISO 8601 with a zone name the same moment."""
        assert time_of(raw) == 1_772_438_400.0

    @pytest.mark.parametrize("raw", [True, None, [], {}, "now", "2026-03-02T08:00:00"])
    def test_garbage(self, raw: object) -> None:
        """A time without a zone could be any of twenty-four, and is refused."""
        with pytest.raises(Garbage):
            time_of(raw)


class TestQuality:
    @pytest.mark.parametrize(
        ("raw", "quality"),
        [
            ("good", Quality.GOOD),
            ("recent", Quality.GOOD),
            (True, Quality.GOOD),
            (0, Quality.GOOD),
            (192, Quality.GOOD),
            ("old", Quality.UNCERTAIN),
            ("undefined", Quality.BAD),
            (False, Quality.BAD),
            (7, Quality.BAD),
            ("a word nobody knows", Quality.BAD),
            (None, Quality.BAD),
            ([1], Quality.BAD),
        ],
    )
    def test_words(self, raw: object, quality: Quality) -> None:
        """Known words are trusted as they say; whatever nobody knows is bad."""
        assert quality_of(raw) is quality


class TestScale:
    def test_in_and_out(self) -> None:
        """A DALI level of 254 is 100 % of light, and back."""
        factor = 100 / 254
        assert scale_in(factor, 0.0)(127) == 50.0
        assert scale_out(factor, 0.0, 0)(50.0) == 127

    def test_fahrenheit(self) -> None:
        """14 °F are -10 °C: (14 - 32) / 1.8."""
        assert scale_in(1 / 1.8, -32 / 1.8)(14) == -10.0

    @pytest.mark.parametrize("raw", [True, "5", None, [], float("inf"), float("nan"), 10**400])
    def test_no_number(self, raw: object) -> None:
        """Only a finite number can be scaled; true is none."""
        with pytest.raises(Garbage):
            scale_in(2.0, 0.0)(raw)

    @given(st.floats(-1e6, 1e6), st.floats(0.001, 1000), st.floats(-1000, 1000))
    def test_inverse(self, value: float, factor: float, addend: float) -> None:
        """What goes out comes back, but for the twelfth digit."""
        back = scale_in(factor, addend)(scale_out(factor, addend)(value))
        assert back == pytest.approx(value, rel=1e-9, abs=1e-6)


class TestTranslate:
    def test_keys(self) -> None:
        """True, 1 and "on" are found as people write them in YAML."""
        convert = translate({"true": "up", "1": "down", "on": "moving"})
        assert [convert(True), convert(1), convert(1.0), convert("on")] == [
            "up",
            "down",
            "down",
            "moving",
        ]

    def test_unknown(self) -> None:
        """A word that is not in the table is garbage; the text lists the others."""
        with pytest.raises(Garbage, match='"off" is none of on, half'):
            translate({"on": 1, "half": 2})("off")


class TestPayload:
    VALUES: ClassVar[dict[str, Any]] = {
        "value": 30.0,
        "id": "lamp-1",
        "ramp_s": 2.5,
        "flag": True,
        "at": Position(47.5, 5.25),
    }

    @pytest.mark.parametrize(
        ("template", "payload"),
        [
            ("{value}", b"30"),
            ("LEVEL={value};{flag}", b"LEVEL=30;true"),
            ("{at}", b"47.5,5.25"),
            ("{nobody}", b""),
            ({"level": "{value}"}, b'{"level":30.0}'),
            ({"on": "{flag}", "to": "at {value} %"}, b'{"on":true,"to":"at 30 %"}'),
            ({"a": ["{id}", 1, None, "{nobody}"]}, b'{"a":["lamp-1",1,null,null]}'),
            ({"at": "{at}"}, b'{"at":[47.5,5.25]}'),
            (5, b"5"),
        ],
    )
    def test_golden(self, template: object, payload: bytes) -> None:
        """A placeholder alone keeps its type in JSON; inside a text, or in a plain payload, it is text."""
        assert compile_payload(template)(self.VALUES) == payload

    def test_slots(self) -> None:
        """The names are found at any depth."""
        assert slots_of({"a": ["{x}", {"b": "{y} {z}"}], "c": 1}) == ["x", "y", "z"]

    @pytest.mark.parametrize("template", ["{", "}", "{}", "{a", "a}", "{{a}}", {"x": "{ }"}])
    def test_bad_braces(self, template: object) -> None:
        """A brace that encloses no name is a mistake."""
        with pytest.raises(BadTemplate):
            slots_of(template)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text('abc é"\\\n'),
            lambda inner: st.lists(inner) | st.dictionaries(st.text("xyz"), inner),
        ).filter(lambda value: not isinstance(value, str))
    )
    def test_any_template_is_json(self, template: Any) -> None:
        """A template without placeholders is sent as it stands, as JSON that Python's reader agrees with."""
        assert json.loads(compile_payload(template)({})) == template

    @pytest.mark.parametrize(
        ("value", "text"),
        [(None, ""), (True, "true"), (30.0, "30"), (0.1 + 0.2, "0.3"), ([1, "a"], '[1,"a"]')],
    )
    def test_text(self, value: object, text: str) -> None:
        """Numbers are written as people do, to twelve digits."""
        assert text_of(value) == text
