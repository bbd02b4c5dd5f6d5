"""Codecs that installed packages supply: found by name, loaded when asked for, and never trusted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pilotage.adapter.codecs import UnknownCodecError, codec_names, find_codec, guarded
from pilotage.adapter.payloads import Garbage, compile_payload

MODULE = """
class Acme:
    def decode(self, payload):
        return {"level": payload[0], "power": int.from_bytes(payload[1:3], "big") / 10}
    def encode(self, document):
        return bytes([round(document["level"])])

class Half:
    decode = None
"""
ENTRIES = """[pilotage.codecs]
acme = acme_codec:Acme
half = acme_codec:Half
broken = acme_codec:Nothing
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor's package, as pip would have put it there."""
    (tmp_path / "acme_codec.py").write_text(MODULE)
    info = tmp_path / "acme_codec-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-codec\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_codec", raising=False)


@pytest.mark.usefixtures("installed")
class TestVendors:
    def test_used(self) -> None:
        """A vendor's codec reads and writes its device's bytes."""
        codec = find_codec("acme")
        assert codec.decode(b"\x1e\x01\x00") == {"level": 30, "power": 25.6}
        assert compile_payload({"level": "{value}"}, codec.encode)({"value": 41.0}) == b"\x29"

    def test_named_without_import(self) -> None:
        """Names are listed without importing anything."""
        assert {"acme", "json", "msgpack"} <= set(codec_names())
        assert "acme_codec" not in sys.modules

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("acm", 'there is no codec "acm"'),
            ("half", 'codec "half" has no "decode" and "encode"'),
            ("broken", 'codec "broken" cannot be loaded: AttributeError'),
        ],
    )
    def test_unusable(self, name: str, why: str) -> None:
        """One that is not there or cannot be used is named with its reason."""
        with pytest.raises(UnknownCodecError) as caught:
            find_codec(name)
        assert str(caught.value).startswith(why)


@pytest.mark.parametrize("payload", [b"", b"\x1e"])
def test_a_mistake_costs_one_message(payload: bytes) -> None:
    """Whatever a vendor's decoder raises, the payload is garbage and nothing else happens."""

    def decode(payload: bytes) -> Any:
        return payload[5]

    with pytest.raises(Garbage, match="IndexError"):
        guarded(decode)(payload)


def test_what_cannot_be_written() -> None:
    """An order that the codec cannot write is garbage: it is not sent."""
    with pytest.raises(Garbage, match="cannot be written"):
        compile_payload({"level": "{value}"}, lambda _: bytes([999]))({"value": 1})
