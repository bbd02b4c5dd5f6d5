from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.model.entities import EntitySpec, Kind, PointSpec, Privacy
from pilotage.model.quality import Quality
from pilotage.model.values import POSITION
from pilotage.testing.adapters import FixedSite, Report
from pilotage_mqtt.binding import bind
from pilotage_mqtt.intake import Intake

STATE = {"topic": "lamp/{id}/state", "point": "level", "path": "$.level"}


@pytest.fixture
def intake(make_settings: Any, city: Any, door: Any) -> Any:
    """Return a maker of intakes for the `read` bindings of lamps, or of another kind."""

    def make(*reads: dict[str, Any], kind: str = "lamp", **options: Any) -> Intake:
        points = [{"kind": kind, "read": list(reads)}]
        plan, findings = bind(make_settings(points=points, **options), city)
        assert not findings, [finding.render() for finding in findings]
        return Intake(plan, door, "street")

    return make


class TestPersonal:
    def test_text_is_not_shown(self, door: Any, make_settings: Any) -> None:
        """What cannot be understood of a personal point is refused without a word of it."""
        position = PointSpec("position", POSITION, privacy=Privacy.PERSONAL)
        site = FixedSite([Kind("van", "Van", (position,))], [EntitySpec("v-1", "van")])
        read = {"topic": "van/{id}", "point": "position", "path": "$.at"}
        plan, findings = bind(make_settings(points=[{"kind": "van", "read": read}]), site)
        assert not findings

        Intake(plan, door, "street").take("van/v-1", b"Ada Lovelace, 12 rue Musette")

        ((source, why),) = door.refusals
        assert "v-1.position" in source
        assert "Ada" not in why and "Musette" not in why


class TestReadings:
    def test_json(self, intake: Any, door: Any) -> None:
        """A value is found at its path, with the time and the quality of the device."""
        read = {**STATE, "time": "$.ts", "quality": "$.q"}
        intake(read).take("lamp/lamp-2/state", b'{"level": 30, "ts": 1000.5, "q": "old"}')
        assert door.reports == [Report("lamp-2.level", 30, Quality.UNCERTAIN, 1000.5)]

    def test_many_points(self, intake: Any, door: Any) -> None:
        """One message may report several points, each in its own unit."""
        read = {
            "topic": "lamp/{id}/state",
            "points": {"level": "$.l", "power": {"path": "$.p", "unit": "kW"}},
        }
        intake(read).take("lamp/lamp-1/state", b'{"l": 50, "p": 0.042}')
        assert [(r.point, r.raw) for r in door.reports] == [
            ("lamp-1.level", 50),
            ("lamp-1.power", 42.0),
        ]

    def test_plain(self, intake: Any, door: Any) -> None:
        """Without a path the payload is the value."""
        intake({"topic": "lamp/{id}/level", "point": "level"}).take("lamp/lamp-1/level", b"55.5")
        assert door.reports == [Report("lamp-1.level", 55.5, Quality.GOOD, None)]

    def test_scale_and_unit(self, intake: Any, door: Any) -> None:
        """Scale and offset come first, then the unit: 420 tenths of a mW are 0.042 W."""
        intake({**STATE, "point": "power", "scale": 0.1, "unit": "kW"}).take(
            "lamp/lamp-1/state", b'{"level": 5}'
        )
        assert door.reports[0].raw == 500.0

    def test_map(self, intake: Any, door: Any) -> None:
        """A device's own words become ours."""
        made = intake({**STATE, "point": "broken", "map": {"on": False, "1": True}})
        for raw in (b'{"level":"on"}', b'{"level":1}'):
            made.take("lamp/lamp-1/state", raw)
        assert [r.raw for r in door.reports] == [False, True]

    def test_wildcard(self, intake: Any, door: Any) -> None:
        """A level that nobody cares for may be anything; the second message of a topic is found at once."""
        made = intake({**STATE, "topic": "gw/+/lamp/{id}/#"})
        for _ in range(2):
            made.take("gw/17/lamp/lamp-3/state/now", b'{"level": 1}')
        assert [r.point for r in door.reports] == ["lamp-3.level"] * 2

    def test_id_in_payload(self, intake: Any, door: Any) -> None:
        """The payload may say whose it is, also as a number, and may list many."""
        made = intake(
            {"topic": "lamps", "id": "$.lamp", "each": "$.all", "points": {"level": "$.v"}}
        )
        made.take("lamps", b'{"all": [{"lamp": "lamp-1", "v": 1}, {"lamp": "lamp-3", "v": 3}]}')
        assert [(r.point, r.raw) for r in door.reports] == [
            ("lamp-1.level", 1),
            ("lamp-3.level", 3),
        ]

    def test_position(self, intake: Any, door: Any) -> None:
        """A position passes as the device writes it."""
        made = intake({"topic": "bus/{id}", "point": "position", "path": "$.at"}, kind="bus")
        made.take("bus/bus-7", b'{"at": {"lat": 47.1, "lon": 5.2}}')
        assert door.reports[0].raw == {"lat": 47.1, "lon": 5.2}

    def test_null(self, intake: Any, door: Any) -> None:
        """A device that says null does not know: the point is bad at once."""
        intake(STATE).take("lamp/lamp-1/state", b'{"level": null}')
        assert door.reports == [Report("lamp-1.level", None, Quality.BAD, None)]

    def test_optional(self, intake: Any, door: Any) -> None:
        """A field that comes only now and then is no mistake when it is declared so."""
        intake({**STATE, "optional": True}).take("lamp/lamp-1/state", b'{"other": 1}')
        assert not door.reports
        assert not door.refusals


class TestGarbage:
    @pytest.mark.parametrize(
        ("payload", "why"),
        [
            (b"", "no JSON (Input data was truncated): ''"),
            (
                b"{nope",
                "no JSON (JSON is malformed: object keys must be strings (byte 1)): '{nope'",
            ),
            (
                b'{"level": NaN}',
                "no JSON (JSON is malformed: invalid character (byte 10)): '{\"level\": NaN}'",
            ),
            (b"x" * 101, "101 bytes are more than max_payload (100)"),
        ],
    )
    def test_refused(self, payload: bytes, why: str, intake: Any, door: Any) -> None:
        """A message that is nothing at all is refused with its topic, its point and the reason."""
        made = intake(STATE, max_payload=100)
        made.take("lamp/lamp-1/state", payload)
        assert door.refusals == [("street: lamp/lamp-1/state (for lamp-1.level)", why)]
        assert (made.refused, made.taken, door.reports) == (1, 0, [])

    @pytest.mark.parametrize(
        "payload", [b"{}", b"[]", b"5", b'{"level": "full"}', b'{"level": true}']
    )
    def test_bad_value(self, payload: bytes, intake: Any, door: Any) -> None:
        """A message without the value, or with a value that cannot be, marks the point as bad."""
        intake({**STATE, "scale": 2}).take("lamp/lamp-1/state", payload)
        assert door.reports == [Report("lamp-1.level", None, Quality.BAD, None)]
        assert door.refusals[0][0] == "street: lamp-1.level"

    def test_stranger(self, intake: Any, door: Any) -> None:
        """A topic of nobody is refused, as one printable line."""
        intake(STATE).take("lamp/lamp-77\n\x1b[2J/state", b"{}")
        assert door.refusals == [
            (r"street: lamp/lamp-77\n\x1b[2J/state", "no binding knows this topic")
        ]

    def test_bad_time(self, intake: Any, door: Any) -> None:
        """A reading whose time cannot be read is refused: it could be of any day."""
        made = intake({**STATE, "time": "$.ts"})
        made.take("lamp/lamp-1/state", b'{"level": 1, "ts": "soon"}')
        assert not door.reports
        assert door.refusals[0][1] == '"soon" is no time'

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
    @given(
        st.binary(max_size=50)
        | st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["level", "ts", "q"]), inner, max_size=3)
            ),
            max_leaves=6,
        ).map(lambda value: json.dumps(value).encode())
    )
    def test_never_raises(self, intake: Any, payload: bytes) -> None:
        """No payload whatever ends the connection."""
        made = intake({**STATE, "time": "$.ts", "quality": "$.q", "map": {"1": 1}, "id": "$.level"})
        made.take("lamp/lamp-1/state", payload)
        assert made.taken + made.refused >= 1
