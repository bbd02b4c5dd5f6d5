"""What only the inventory can tell."""

from __future__ import annotations

import pytest

from pilotage.language.rules import load_rules
from pilotage.language.site_checks import check_site
from pilotage.model.entities import Access, EntitySpec, Kind, PointSpec
from pilotage.model.values import BOOLEAN, Position, Value, enum, number, reference

FIXED = Access.FIXED
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "street",
            "Street",
            (
                PointSpec("dimmable", BOOLEAN, FIXED),
                PointSpec("rank", number(""), FIXED),
                PointSpec("use", enum("park", "road"), FIXED),
                PointSpec("route", reference("route"), FIXED),
                PointSpec("busy", BOOLEAN),
                PointSpec("level", number("%"), Access.BOTH, default=100.0),
            ),
        ),
        Kind("route", "Route", (PointSpec("rank", number(""), FIXED),)),
        Kind("station", "Station", (PointSpec("cold", BOOLEAN),)),
    )
}


def street(id_: str = "s-1", **values: Value) -> EntitySpec:
    return EntitySpec(id_, "street", values=values)


def doubts(where: str = "", condition: str = "is_night", *inventory: EntitySpec) -> list[str]:
    chosen = f', where: "{where}"' if where else ""
    text = f"""\
rules:
  r:
    title: R
    owner: x
    for_each: {{street: {{kind: street{chosen}}}}}
    while: {condition}
    hold: [{{set: street.level, to: 30 %, priority: saving}}]
"""
    program, findings = load_rules({"a.yaml": text}, KINDS)
    assert not [finding.render() for finding in findings if finding.is_error]
    return [
        f"{finding.at.line}:{finding.at.column} {finding.code} {finding.message}"
        for finding in check_site(program, inventory)
    ]


class TestNeverFires:
    def test_nobody_of_the_kind(self) -> None:
        """A city without streets."""
        assert doubts() == ["2:3 W510 never fires: the inventory has no street"]

    @pytest.mark.parametrize(
        ("where", "why"),
        [
            ("street.dimmable", "has dimmable"),
            ("not street.dimmable and street.rank < 3", "meets not dimmable and rank < 3"),
            ("street.use in [park]", "meets use in [park]"),
            ("street.route.rank == 1", "meets route.rank == 1"),
            ("street.dimmable and street.busy", "meets dimmable and busy"),
        ],
    )
    def test_nobody_meets_it(self, where: str, why: str) -> None:
        """A `where` over fixed values that is false or never known for every street."""
        city = (
            street(dimmable=False, rank=3.0, use="road", route="r-1"),
            street("s-2"),
            EntitySpec("r-1", "route", values={"rank": 2.0}),
        )

        assert doubts(where, "is_night", *city) == [f"2:3 W510 never fires: no street {why}"]

    @pytest.mark.parametrize(
        "where",
        ["street.dimmable", "street.busy", "street.rank > 2 or street.busy", "not street.busy"],
    )
    def test_somebody_may_meet_it(self, where: str) -> None:
        """What may change while the engine runs is left alone."""
        assert doubts(where, "is_night", street(dimmable=True, rank=1.0)) == []


class TestReadings:
    def test_aggregate_over_nobody(self) -> None:
        """A statistic over a kind that the city does not have."""
        assert doubts("", "any(station.cold)", street()) == [
            "6:16 W530 the inventory has no station: this looks at nothing"
        ]

    def test_fixed_point_without_value(self) -> None:
        """A fixed point that no street has a value for; asking known() first is an answer."""
        message = "6:12 W531 no street of the inventory has a value for rank: this is never known"

        assert doubts("", "street.rank < 3", street()) == [message]
        assert doubts("", "known(street.rank) and street.rank < 3", street()) == []
        assert doubts("", "street.rank < 3", street(), street("s-2", rank=1.0)) == []

    def test_positions_are_no_trouble(self) -> None:
        """A city with positions is read like any other."""
        assert Position(47.0, 5.0) == (47.0, 5.0)
        assert doubts("", "street.busy", street(position=Position(47.0, 5.0))) == []

    def test_an_entity_that_is_not_there(self) -> None:
        """A comparison with an id that the inventory does not have, with what was probably meant."""
        found = doubts(
            "", "street.id == 's-1' or street.id in ['s-11', 's-2']", street("s-1"), street("s-12")
        )

        assert found == [
            '6:48 W532 the inventory has no street "s-11"',
            '6:56 W532 the inventory has no street "s-2"',
        ]
