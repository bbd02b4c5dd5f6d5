"""Signatures against known values, and what is remembered; the time is an argument."""

from __future__ import annotations

import pytest

from pilotage_http.limits import Rate
from pilotage_http.signature import Guard, NotTrusted, sign

SECRET = b"key"


def test_known_value() -> None:
    """HMAC-SHA256 of "1000./lamps/1.{}" with the key "key", by `openssl dgst -sha256 -hmac key`."""
    assert sign(SECRET, "1000", "/lamps/1", b"{}") == (
        "sha256=fcfa2782ab574d1a5b8e290e9da1fc53515e66495a9abc04038fe9496db3819b"
    )


@pytest.mark.parametrize("given", ["", "sha256=", "é" * 64, "sha256=" + "0" * 64, "x" * 100_000])
def test_wrong(given: str) -> None:
    """Whatever is no signature is none."""
    with pytest.raises(NotTrusted):
        Guard(300).admit(SECRET, "1000", given, "/a", b"", 1000.0)


def test_no_secret() -> None:
    """An empty secret, which anybody could sign with, lets nothing pass."""
    with pytest.raises(NotTrusted, match="no secret"):
        Guard(300).admit(b"", "1000", sign(b"", "1000", "/a", b""), "/a", b"", 1000.0)


class TestOnce:
    def test_copy(self) -> None:
        """A copy is refused as long as its time stamp would let it pass."""
        guard = Guard(300)
        signature = sign(SECRET, "1000", "/a", b"x")
        guard.admit(SECRET, "1000", signature, "/a", b"x", 900.0)
        for now in (900.0, 1100.0, 1299.9):
            with pytest.raises(NotTrusted, match="before"):
                guard.admit(SECRET, "1000", signature, "/a", b"x", now)
        with pytest.raises(NotTrusted, match="within"):
            guard.admit(SECRET, "1000", signature, "/a", b"x", 1300.1)

    def test_forgets(self) -> None:
        """What is too old to come again is forgotten; more than can be remembered is refused."""
        guard = Guard(300, most=100)
        for number in range(100):
            body = str(number).encode()
            guard.admit(SECRET, "1000", sign(SECRET, "1000", "/a", body), "/a", body, 1000.0)
        with pytest.raises(NotTrusted, match="too many at once"):
            guard.admit(SECRET, "1001", sign(SECRET, "1001", "/a", b""), "/a", b"", 1001.0)
        guard.admit(SECRET, "1400", sign(SECRET, "1400", "/a", b""), "/a", b"", 1400.0)
        assert len(guard._seen) == 1


class TestRate:
    def test_bucket(self) -> None:
        """A source may say so much at once, and then so much a second; another has a bucket of its own."""
        rate = Rate(2.0, 3)
        assert [rate.admit("a", 0.0) for _ in range(4)] == [True, True, True, False]
        assert rate.admit("b", 0.0)
        assert not rate.admit("a", 0.4)
        assert rate.admit("a", 0.9)

    def test_many_sources(self) -> None:
        """However many sources come, only so many are remembered."""
        rate = Rate(1.0, 1, most=10)
        assert all(rate.admit(str(number), 0.0) for number in range(1000))
        assert len(rate._buckets) == 10
