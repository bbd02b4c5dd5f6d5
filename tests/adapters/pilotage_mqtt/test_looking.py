"""What a broker carries becomes proposals: announcements, topics with JSON, topics with one value."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pilotage.cli import main
from pilotage.model.entities import Access, Kind, PointSpec
from pilotage.model.values import BOOLEAN, number
from pilotage_mqtt.looking import propose

LAMP = Kind(
    "lamp", "Lamp", (PointSpec("level", number("%"), Access.BOTH), PointSpec("lamp_fail", BOOLEAN))
)
DOOR = Kind("door", "Door", (PointSpec("open", BOOLEAN),))
KINDS = {kind.name: kind for kind in (LAMP, DOOR)}


def payload(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


class TestPlainTopics:
    def test_topics_of_one_form_share_a_binding(self) -> None:
        """The level that differs is the id; the payload's fields are matched with the kind's points."""
        heard = {f"city/lamp/L-{n}/state": payload(level=n, lampFail=False, x=1) for n in range(3)}

        seen = propose(heard, KINDS)

        assert [(f.id, f.kind) for f in seen.found] == [
            ("L-0", "lamp"),
            ("L-1", "lamp"),
            ("L-2", "lamp"),
        ]
        assert seen.bindings == [
            {"kind": "lamp", "read": {"topic": "city/lamp/{id}/state",
             "points": {"level": "$.level", "lamp_fail": "$.lampFail"}}}
        ]  # fmt: skip

    def test_the_id_may_stand_anywhere(self) -> None:
        """Zigbee gateways put it last."""
        heard = {f"zigbee/{name}": payload(level=1) for name in ("north", "south")}

        (binding,) = propose(heard, KINDS).bindings

        assert binding["read"]["topic"] == "zigbee/{id}"

    def test_fields_inside_fields(self) -> None:
        """The path leads to them."""
        (binding,) = propose({"a/b/c": payload(state={"level": 3})}, KINDS).bindings

        assert binding["read"]["points"] == {"level": "$.state.level"}

    def test_one_value_a_topic(self) -> None:
        """The last level is the point, the one before it the thing."""
        seen = propose({"city/d1/open": b"true", "city/d2/open": b"false"}, KINDS)

        assert seen.bindings == [
            {"kind": "door", "read": {"topic": "city/{id}/open", "point": "open"}}
        ]
        assert [(f.id, f.kind, f.seen) for f in seen.found] == [
            ("d1", "door", "city/d1/open: true"),
            ("d2", "door", "city/d2/open: false"),
        ]

    def test_what_is_not_understood_is_noted(self) -> None:
        """Orders, bytes, lists and things of no kind are told, not guessed at; $SYS is nobody's."""
        seen = propose(
            {
                "a/b/set": b"1",
                "a/b/raw": b"\xff\x00",
                "a/b/list": b"[1]",
                "a/b/volts": b"3",
                "$SYS/x": b"1",
            },
            KINDS,
        )

        assert seen.bindings == []
        assert [f.kind for f in seen.found] == [""]
        assert sorted(seen.notes) == [
            "a/b/list: [1]",
            "a/b/raw: �\x00",
            "a/b/set carries orders: 1",
            "a/{id}/volts (1 times): no kind has volts",
        ]

    def test_many_topics(self) -> None:
        """Twenty thousand topics without any order are no trouble."""
        heard = {f"{n % 7}/{n}/{n % 13}": payload(**{f"f{n % 100}": 1}) for n in range(20_000)}

        assert len(propose(heard, KINDS).found) == 20_000


class TestAnnouncements:
    def test_the_parts_of_a_device_are_one_thing(self) -> None:
        """Announcements in the form of Home Assistant, with long and with short names."""
        heard = {
            "homeassistant/light/l7/level/config": payload(
                name="Level", unique_id="l7-level", state_topic="z/l7", command_topic="z/l7/set",
                value_template="{{ value_json.level }}", device={"identifiers": ["l7"], "name": "Lamp 7"},
            ),
            "homeassistant/binary_sensor/l7/fail/config": payload(
                **{"~": "z", "stat_t": "~/l7", "val_tpl": "{{ value_json['lamp_fail'] }}", "uniq_id": "l7f",
                   "dev": {"ids": "l7"}}
            ),
            "z/l7": payload(level=3, lamp_fail=False),
        }  # fmt: skip

        seen = propose(heard, KINDS)

        (found,) = seen.found
        assert (found.id, found.kind) == ("l7", "lamp")
        (binding,) = seen.bindings
        assert binding["entity"] == "l7"
        assert {(read["topic"], read["point"], read["path"]) for read in binding["read"]} == {
            ("z/l7", "level", "$.level"),
            ("z/l7", "lamp_fail", "$.lamp_fail"),
        }
        assert binding["write"] == [{"topic": "z/l7/set", "point": "level"}]

    def test_broken_announcements(self) -> None:
        """They are noted like any other topic."""
        seen = propose({"homeassistant/light/x/config": b"{", "a/b/c/config": b"[]"}, KINDS)

        assert seen.bindings == []
        assert len(seen.notes) == 2


class TestCommand:
    def test_what_is_proposed_is_a_configuration(
        self, broker: Any, device: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """From a real broker: the proposal, taken over as it stands, has no finding."""

        async def say() -> None:
            async with device(broker.port) as lamp:
                for n in (1, 2):
                    told = lamp.say(f"found/lamp/F-{n}/state", '{"level": 30}', retain=True)
                    await asyncio.to_thread(told.wait_for_publish, 5)

        asyncio.run(say())
        words = [
            "discover",
            "mqtt",
            "-o",
            "host=127.0.0.1",
            "-o",
            f"port={broker.port}",
            "--seconds",
            "0.5",
        ]

        assert main(words) == 0
        text = capsys.readouterr().out
        tree = YAML(typ="safe").load(text)
        assert {"F-1": {"kind": "lamp"}} in tree["inventory"]
        config = tmp_path / "config.yaml"
        config.write_text("site: {name: X, position: [47.3, 5.0]}\nrules: []\n" + text)
        assert main(["check", "-c", str(config)]) == 0, capsys.readouterr().out
