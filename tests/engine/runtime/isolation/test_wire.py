"""Messages cross whole or are refused; a secret stays one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pilotage.adapter import ConnectionSettings
from pilotage.adapter.secret import Secret
from pilotage.model.entities import EntitySpec
from pilotage.model.messages import CallOut, Command, Request
from pilotage.model.values import Position, Value
from pilotage.runtime.isolation import wire
from pilotage.runtime.isolation.city import RemoteSite
from pilotage.runtime.plugins import load_plugins


def crossed(message: wire.Message, types: Any) -> Any:
    (found,) = wire.Decoder(types, wire.FROM_ENGINE).feed(wire.encode(message))
    return found


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            wire.SendCommand(1, Command("1", "a.b", 30.0, 2.0, "dusk", 1.5, 2)),
            wire.SendRequest(2, Request("1", "a.b", "request", "bus-7", {"eta": 12.0}, 2.0, "pt")),
            wire.SendCall(3, CallOut("1", "fleet.dispatch", {"n": [1, "x", None]}, 2.0, "story")),
            wire.Time(1.0, 2.0, 60.0),
            wire.Run(),
        ],
        ids=lambda message: type(message).__name__,
    )
    def test_to_the_child(self, message: wire.Message) -> None:
        """What the engine asks arrives as it was."""
        assert crossed(message, wire.ToChild) == message

    def test_in_any_pieces(self) -> None:
        """Messages arrive in order however the bytes are cut."""
        sent = [wire.Connected("up"), wire.Readings([("a.b", 1.0, 0, None)], 0), wire.Beat(3)]
        data = b"".join(wire.encode(message) for message in sent)
        decoder = wire.Decoder(wire.FromChild, wire.FROM_CHILD)
        found = [message for at in range(len(data)) for message in decoder.feed(data[at : at + 1])]
        assert found == sent

    def test_too_long(self) -> None:
        """A length that nobody should send is refused before anything is kept for it."""
        decoder = wire.Decoder(wire.FromChild, wire.FROM_CHILD)
        with pytest.raises(wire.GarbledError, match="longer than 1,048,576"):
            decoder.feed((2_000_000).to_bytes(4, "big"))

    @given(some.binary(max_size=64))
    def test_any_bytes(self, body: bytes) -> None:
        """Bytes are messages or garbled, and nothing else happens."""
        decoder = wire.Decoder(wire.FromChild, wire.FROM_CHILD)
        try:
            decoder.feed(len(body).to_bytes(4, "big") + body)
        except wire.GarbledError:
            return

    def test_what_cannot_cross(self) -> None:
        """An object that is no value is refused where it is, with its type."""
        with pytest.raises(TypeError, match="type object cannot leave its process"):
            wire.encode(wire.Readings([("a.b", object(), 0, None)], 0))


class TestSettings:
    def test_a_secret_stays_one(self) -> None:
        """On the other side a secret is the same text, and shows itself as little."""
        options = {"password": Secret("s3cret"), "tls": {"keys": [Secret("k")]}, "port": 1883}
        frozen = wire.freeze(ConnectionSettings("street", "mqtt", options, "config.yaml:3:3"))
        keep = wire.Keep("mqtt", [], 1, frozen, wire.Site("x", [], []), wire.Time(1.0, 1.0, 1.0))
        thawed = crossed(keep, wire.ToKeeper).settings.thaw()
        assert thawed.options == {"password": "s3cret", "tls": {"keys": ["k"]}, "port": 1883}
        assert repr(thawed.options["password"]) == "***"
        assert repr(thawed.options["tls"]) == "{'keys': [***]}"
        assert (thawed.name, thawed.adapter, thawed.place) == ("street", "mqtt", "config.yaml:3:3")


class TestSite:
    def test_every_kind_crosses(self) -> None:
        """The kinds and entities of a city are the same on the other side."""
        kinds = list(load_plugins().kinds.values())
        values: dict[str, Value] = {
            "position": Position(47.3, 5.0),
            "dimmable": True,
            "rank": 3.0,
            "class": "P2",
        }
        entity = EntitySpec(
            "seg-1", "lighting_segment", "Rue", values, {"lamps": ("L-1",)}, "Dijon"
        )
        keep = wire.Keep(
            "x", [], 1, wire.freeze(ConnectionSettings("a", "b", {})), wire.Site("Dijon", kinds, [entity]), wire.Time(1.0, 1.0, 1.0)
        )  # fmt: skip
        site = crossed(keep, wire.ToKeeper).site
        assert site.kinds == kinds
        assert site.entities == [entity]

    def test_the_engine_knows_the_same_points(self) -> None:
        """An isolated adapter finds the points that it would find in the engine, with the same specification."""
        from pilotage.core.engine import Engine
        from pilotage.core.schedule import SiteTime
        from pilotage.language.rules import load_rules

        catalogue = load_plugins()
        entities = [EntitySpec(f"{name}-1", name) for name in sorted(catalogue.kinds)]
        program, _ = load_rules({}, catalogue.kinds, catalogue.functions, catalogue.calls)
        engine = Engine(program, entities, 0.0, SiteTime("UTC", None, "", None), number=0)
        site = RemoteSite(wire.Site("x", list(catalogue.kinds.values()), entities))
        ids = {entity.id for entity in entities}
        there = {id_: cell for id_, cell in engine.cells.items() if id_.partition(".")[0] in ids}
        assert len(there) > 100
        found = {id_: site.point(id_) for id_ in there}
        assert [id_ for id_, point in found.items() if point is None] == []
        differ = [
            i for i, p in found.items() if p is not None and p.spec.type != there[i].spec.type
        ]
        assert differ == []
        assert site.point("nobody.level") is None
        assert site.point(f"{entities[0].id}.nothing") is None

    def test_time(self) -> None:
        """The other side's time goes as fast as the engine's."""
        import time

        site = RemoteSite(wire.Site("x", [], []))
        site.set_time(wire.Time(1_000.0, time.monotonic() - 2.0, 60.0))
        assert site.now() == pytest.approx(1_120.0, abs=30)
