from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from pilotage.adapter.payloads import BadTemplate
from pilotage_mqtt.topics import fewest, filter_for, matches, parse


class TestTemplate:
    def test_fill(self) -> None:
        """Placeholders are filled level by level, also in a part of a level."""
        template = parse("city/{zone}/lamp-{id}/state", wildcards=False)
        assert template.slots == ("zone", "id")
        assert template.fill({"zone": ["north", "west"], "id": ["7", "8"]}, 2) == [
            ("city", "north", "lamp-7", "state"),
            ("city", "west", "lamp-8", "state"),
        ]

    @pytest.mark.parametrize(
        "text", ["", "a/#/b", "a/b#", "a/x+/b", "a/{id", "a/{}", "a\0b", "x" * 65_536]
    )
    def test_no_topic(self, text: str) -> None:
        """What MQTT or the braces do not allow is refused."""
        with pytest.raises(BadTemplate):
            parse(text, wildcards=True)

    @pytest.mark.parametrize(
        "text", ["$SYS/{id}", "$share/group/{id}", "a/\x01{id}", "a/\uffff{id}"]
    )
    def test_what_no_device_may_be_told_on(self, text: str) -> None:
        """The broker's own topics, and characters on which some brokers hang up."""
        with pytest.raises(BadTemplate):
            parse(text, wildcards=False)

    @pytest.mark.parametrize("text", ["a/+/b", "a/#"])
    def test_no_wildcard_to_write(self, text: str) -> None:
        """Nobody can publish to a wildcard."""
        assert parse(text, wildcards=True).has_wildcard
        with pytest.raises(BadTemplate):
            parse(text, wildcards=False)


class TestFilters:
    def test_differing_levels(self) -> None:
        """Only levels that differ become a wildcard: one lamp is heard by its own topic."""
        assert filter_for([("c", "n", "1"), ("c", "n", "2")]) == "c/n/+"
        assert filter_for([("c", "n", "1")]) == "c/n/1"

    def test_fewest(self) -> None:
        """A subscription that another one covers is left out, and its QoS is kept."""
        filters = {"a/1/s": 2, "a/+/s": 0, "b/#": 1, "b/x/y": 0, "c": 0}
        assert fewest(filters) == {"a/+/s": 2, "b/#": 1, "c": 0}

    def test_broker_topics(self) -> None:
        """A wildcard at the front hears nothing of $SYS (MQTT 5.0, 4.7.2)."""
        assert not matches("#", "$SYS/uptime")
        assert not matches("+/uptime", "$SYS/uptime")
        assert matches("$SYS/#", "$SYS/uptime")

    @given(
        st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4),
        st.booleans(),
        st.lists(st.sampled_from(["a", "b", "$x"]), min_size=1, max_size=4),
    )
    def test_as_paho(self, levels: list[str], tail: bool, topic: list[str]) -> None:
        """A filter hears the same topics as in paho."""
        wanted = "/".join([*levels, "#"] if tail else levels)
        assert matches(wanted, "/".join(topic)) == topic_matches_sub(wanted, "/".join(topic))
