"""What holds for the kinds of every domain."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from pluggy import PluginManager

from pilotage.model.entities import Access, CallSpec, Function, Kind, PointSpec, Privacy
from pilotage.model.units import parse_unit
from pilotage.model.values import Base, Position, ValueType

ENGINE_KINDS = {"incident", ""}
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


def fits(value: object, type_: ValueType) -> bool:
    match type_.base:
        case Base.NUMBER:
            return isinstance(value, float) and not isinstance(value, bool)
        case Base.BOOLEAN:
            return isinstance(value, bool)
        case Base.ENUM:
            return value in type_.members
        case Base.TEXT:
            return isinstance(value, str)
        case Base.POSITION:
            return isinstance(value, Position)
        case _:
            return False


def points(kinds: dict[str, Kind]) -> list[tuple[Kind, PointSpec]]:
    return [(kind, point) for kind in kinds.values() for point in kind.points]


class TestKinds:
    def test_names(self, plugins: PluginManager) -> None:
        """Each kind has one home, and its name is written like a name in a rule."""
        names = Counter(k.name for answer in plugins.hook.pilotage_kinds() for k in answer)
        assert [n for n, times in names.items() if times > 1] == []
        assert [n for n in names if not NAME.fullmatch(n)] == []

    def test_titles_and_docs(self, kinds: dict[str, Kind]) -> None:
        """Each kind says what it is."""
        assert [k.name for k in kinds.values() if not k.title or not k.doc.endswith(".")] == []

    def test_one_place(self, kinds: dict[str, Kind]) -> None:
        """A kind has at most one position, so that the place of an entity is never in doubt."""
        places = {
            kind.name: [p.name for p in kind.points if p.type.base is Base.POSITION]
            for kind in kinds.values()
        }
        assert {name: found for name, found in places.items() if len(found) > 1} == {}

    def test_relations_lead_somewhere(self, kinds: dict[str, Kind]) -> None:
        """What a relation or a reference leads to exists."""
        targets = {(k.name, r, t) for k in kinds.values() for r, t in k.relations.items()} | {
            (k.name, p.name, p.type.kind) for k, p in points(kinds) if p.type.base is Base.ENTITY
        }
        assert {t for t in targets if t[2] not in kinds and t[2] not in ENGINE_KINDS} == set()


class TestPoints:
    def test_names(self, kinds: dict[str, Kind]) -> None:
        """Names of points and relations are unique in their kind, and leave `name` to the engine."""
        for kind in kinds.values():
            names = [*(p.name for p in kind.points), *kind.relations]
            assert len(set(names)) == len(names), kind.name
            assert [n for n in names if not NAME.fullmatch(n) or n in ("name", "id")] == []
            assert [n for n in names if n.endswith(".status")] == []

    def test_units(self, kinds: dict[str, Kind]) -> None:
        """Every unit is known and means what its point holds."""
        for kind, point in points(kinds):
            unit = point.type.unit
            assert parse_unit(unit.symbol) == unit, f"{kind.name}.{point.name}"

    def test_ranges(self, kinds: dict[str, Kind]) -> None:
        """A range is the right way round, and only numbers have one."""
        for kind, point in points(kinds):
            name = f"{kind.name}.{point.name}"
            if point.type.base is not Base.NUMBER:
                assert (point.low, point.high) == (None, None), name
            elif point.low is not None and point.high is not None:
                assert point.low < point.high, name

    def test_defaults(self, kinds: dict[str, Kind]) -> None:
        """Defaults and values on loss are values of the point, in its range."""
        for kind, point in points(kinds):
            for value in (point.default, point.value_on_loss):
                if value is None:
                    continue
                name = f"{kind.name}.{point.name}"
                assert point.access.is_commandable, name
                assert fits(value, point.type), name
                if isinstance(value, float):
                    assert point.low is None or value >= point.low, name
                    assert point.high is None or value <= point.high, name

    def test_ages(self, kinds: dict[str, Kind]) -> None:
        """Facts never grow old, and what reports by the clock is believed for longer than one period."""
        for kind, point in points(kinds):
            name = f"{kind.name}.{point.name}"
            if point.access is Access.FIXED:
                assert point.max_age_s is None, name
            if point.every_s is not None and point.max_age_s is not None:
                assert point.max_age_s >= 1.5 * point.every_s, name

    def test_times_belong_to_commands(self, kinds: dict[str, Kind]) -> None:
        """Only what can be commanded travels, rests or combines."""
        for kind, point in points(kinds):
            if not point.access.is_commandable:
                times = (point.min_on_s, point.min_off_s, point.travel_s, point.tolerance)
                assert times == (0.0, 0.0, 0.0, 0.0), f"{kind.name}.{point.name}"
                assert point.group is None

    def test_groups(self, kinds: dict[str, Kind]) -> None:
        """A group stands for an existing point of its members, of the same type, range and default."""
        groups = [(k, p) for k, p in points(kinds) if p.group is not None]
        assert [(k.name, p.name) for k, p in groups] == [("lighting_segment", "lights.level")]
        for kind, point in groups:
            assert point.group is not None
            member = kinds[kind.relations[point.group.relation]].point(point.group.point)
            assert member is not None
            assert member.access.is_commandable
            assert (member.type, member.low, member.high, member.default) == (
                point.type,
                point.low,
                point.high,
                point.default,
            )

    def test_vehicles_are_personal(self, kinds: dict[str, Kind]) -> None:
        """Where a vehicle is, and how fast, is known to few: it is also where its driver is."""
        moving = [
            (k.name, p.name, p.privacy)
            for k, p in points(kinds)
            if p.type.base is Base.POSITION and p.access is Access.REPORTED
        ]
        assert {name for name, _, _ in moving} == {"bus", "plough", "vehicle", "emergency_vehicle"}
        assert {privacy for _, _, privacy in moving} == {Privacy.PERSONAL}


class TestHooks:
    def test_hook_pilotage_kinds(self, plugins: PluginManager) -> None:
        """Every domain declares kinds."""
        answers = plugins.hook.pilotage_kinds()
        assert len(answers) == len(plugins.get_plugins())
        assert all(isinstance(kind, Kind) for answer in answers for kind in answer)

    def test_hook_pilotage_functions(self, plugins: PluginManager, kinds: dict[str, Kind]) -> None:
        """Functions have names of their own, and read points that exist."""
        functions = [f for answer in plugins.hook.pilotage_functions() for f in answer]
        assert all(isinstance(f, Function) for f in functions)
        assert sorted(f.name for f in functions) == ["forecast.snow", "preset_towards"]
        for function in functions:
            for read in function.reads:
                kind, _, point = read.partition(".")
                assert kinds[kind].point(point) is not None, read

    def test_hook_pilotage_calls(self, plugins: PluginManager) -> None:
        """Calls of all domains have names of their own."""
        calls = [c for answer in plugins.hook.pilotage_calls() for c in answer]
        assert all(isinstance(c, CallSpec) for c in calls)
        assert sorted(c.name for c in calls) == [
            "fleet.dispatch",
            "fleet.stand_by",
            "fleet.stand_down",
        ]

    def test_hook_pilotage_rules(self, plugins: PluginManager) -> None:
        """Rule packs are files of their own package, all of them, in order."""
        packs = plugins.hook.pilotage_rules()
        assert [p for pack in packs for p in pack if not p.is_file()] == []
        home = Path(__file__).parents[2] / "plugins"
        assert sorted(p for pack in packs for p in pack) == sorted(home.glob("*/rules/*.yaml"))
        assert all(pack == sorted(pack) for pack in packs)


@pytest.mark.parametrize(
    "package", sorted((Path(__file__).parents[2] / "plugins").glob("pilotage_*"))
)
def test_package_is_typed(package: Path) -> None:
    """Each package tells type checkers that it is typed, and opens with its duty."""
    assert (package / "py.typed").is_file()
    for module in package.glob("*.py"):
        assert module.read_text().startswith('"""'), module
