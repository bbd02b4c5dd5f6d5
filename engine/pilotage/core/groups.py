"""Group points: one point that stands for the same point of many members.

Its winning demand is passed on to the members at the same level, so that an override of one member still wins there;
its reported value is combined from theirs.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from pilotage.core.arbiter import DEFAULT_LEVEL, Arbiter, Demand, PriorityArray
from pilotage.core.graph import Graph, Node
from pilotage.core.store import Cell
from pilotage.model.entities import Group
from pilotage.model.quality import Quality


class GroupNode(Node):
    """The reported value of a group point."""

    __slots__ = ("_followed", "_group", "_groups", "_members", "_of", "_relation")

    def __init__(self, graph: Graph, cell: Cell, group: Group, groups: Groups) -> None:
        super().__init__(graph, cell)
        assert cell.entity is not None
        self._group = group
        self._groups = groups
        self._relation = cell.entity.relations[group.relation]
        self._of: Any = None
        self._members: list[Cell] = []
        self._followed = self._members
        self._follow_members()

    def members(self) -> list[Cell]:
        """Return the members' points, in order; while nobody knows who they are, those who were last."""
        last = self._relation.last
        if (
            last is not self._of
        ):  # a report of a lamp must not cost a look at all lamps of its street
            self._of = last
            self._members = [e.cells[self._group.point] for e in last or ()]
        return self._members

    def _follow_members(self) -> None:
        self._followed = self.members()
        self.follow({self._relation: None, **dict.fromkeys(self._followed)})

    def update(self) -> bool:
        """Combine the members' reports; with other members, pass the demand on again."""
        members = self.members()
        if members is not self._followed:
            self._follow_members()
            self._groups.members_changed(self.cell)
        if not members:
            return False
        values = [m.value for m in members]
        first = values[0]
        is_known = first is not None and self._relation.value is not None
        if is_known and values.count(first) == len(values):
            return self.store(first)
        known = [value for value in values if value is not None] if None in values else values
        return self.store(_combined(self._group.combine, known), Quality.UNCERTAIN)


def _combined(how: str, known: list[Any]) -> Any:
    if not known:
        return None
    if how == "min":
        return min(known)
    if how == "max":
        return max(known)
    if isinstance(known[0], float) and not isinstance(known[0], bool):
        same = known.count(known[0]) == len(known)
        return known[0] if same else sum(known) / len(known)
    return max(dict.fromkeys(known), key=known.count)


class Groups:
    """All group points.

    Attributes:
        gateways: Ids of the group points that some device takes as one command.
    """

    def __init__(self, graph: Graph, arbiter: Arbiter) -> None:
        self._graph = graph
        self._arbiter = arbiter
        self.gateways: Container[str] = ()
        self._nodes: dict[Cell, GroupNode] = {}
        self._told: dict[Cell, list[Cell]] = {}

    def add(self, cell: Cell) -> None:
        """Make a point a group point, when its kind says that it is one."""
        group = cell.spec.group
        if (
            group is not None
            and cell.entity is not None
            and group.relation in cell.entity.relations
        ):
            node = self._nodes[cell] = GroupNode(self._graph, cell, group, self)
            self._graph.mark(node)

    def is_passed_on(self, cell: Cell) -> bool:
        """True when others do what is wanted of this point, and each of them is told by itself."""
        node = self._nodes.get(cell)
        return node is not None and bool(node.members()) and cell.id not in self.gateways

    def members(self, cell: Cell) -> list[Cell]:
        """Return the points to which this point's demand is passed on; none when it is no group point."""
        node = self._nodes.get(cell)
        return [] if node is None else node.members()

    def members_changed(self, cell: Cell) -> None:
        """Tell those who came and those who went."""
        if cell.array is not None and cell.array.is_decided:
            self.pass_on(cell.array)

    def pass_on(self, array: PriorityArray) -> None:
        """Give the members the group's winning demand, at its level, with its owner and its end."""
        cell = array.cell
        node = self._nodes.get(cell)
        if node is None:
            return
        members = node.members()
        owner = f"{cell.id}>"
        told = [] if array.level == DEFAULT_LEVEL else members
        if (before := self._told.get(cell, [])) is not told:
            stay = frozenset(told)
            for gone in [c for c in before if c not in stay]:
                self._arbiter.relinquish(gone, owner, "the group gave it up")
        self._told[cell] = told
        winner = array.winner
        for member in self._told[cell]:
            self._arbiter.place(
                member,
                Demand(
                    owner,
                    winner.by if winner is not None else array.owner,
                    array.level,
                    array.wanted,
                    winner.reason if winner is not None else array.owner,
                    winner.since if winner is not None else self._graph.clock.now,
                    winner.until if winner is not None else None,
                    array.ramp_up_s,
                    array.ramp_down_s,
                    told=cell.id in self.gateways,
                ),
            )
