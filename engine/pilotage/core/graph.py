"""Who must be asked again when a value changes: watches on conditions, derived values in dependency order.

A change first runs through the derived values, lowest rank first, so that nobody ever sees one half of a change; then the
watches that read something new are asked, each once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pilotage.core.store import FEW, Cell, Entity
from pilotage.core.timers import Timers
from pilotage.language import typed
from pilotage.language.compiler import (
    HOISTED,
    Compiled,
    Reaction,
    compile_expression,
    compile_reaction,
    is_static,
)
from pilotage.language.functions import honest
from pilotage.language.typed import Read, Typed
from pilotage.language.wording import wording
from pilotage.model.entities import Function, Kind, PointSpec
from pilotage.model.quality import Quality
from pilotage.model.values import ANY

Env = Mapping[str, Any]
"""Values of variables: entities of `for_each`, results of `let`."""

Structure = tuple[tuple[Cell, Any], ...]
"""References that an expression follows, with what they led to: when one leads elsewhere, other cells are read."""

Paths = tuple[tuple[str, tuple[str, ...]], ...]
"""What an expression reads: for each path its variable, and the points from one entity to the next; the last gives the value."""

MOST_INLINED: Final = 4
"""Up to so many conditions of one point become one generated function."""

MANY_ROUNDS: Final = 1_000
"""Waves of changes in one tick; from then on it is counted how often each condition is asked."""
MOST_OFTEN: Final = 100
"""Watches asked in one tick before the engine says that rules drive each other in a circle."""


def _parts_that_read(node: Typed) -> Iterator[Typed]:
    if isinstance(node, (*HOISTED, Read, typed.Members, typed.Wanted, typed.Age)):
        yield node
        return
    if isinstance(node, typed.Apply) or (isinstance(node, typed.Builtin) and node.reads_position):
        yield node
    for child in typed.children(node):
        yield from _parts_that_read(child)


def _paths_of(parts: tuple[Typed, ...]) -> Paths | None:
    """Return what these parts read as paths, or None when one of them is more than a path of points from a variable."""
    paths: list[tuple[str, tuple[str, ...]]] = []
    for part in parts:
        points: list[str] = []
        while isinstance(part, Read):
            points.append(part.point)
            part = part.base
        if not points or not isinstance(part, typed.Var):
            return None
        paths.append((part.name, tuple(reversed(points))))
    return tuple(paths)


def leads_elsewhere(structure: Structure) -> bool:
    """Return whether a reference has changed, so that an expression reads other cells now."""
    return any(cell.value is not known for cell, known in structure)


class Clock:
    """The time of the tick, for the few expressions that need it."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class CityView:
    """The city as a plugin's function sees it: read only."""

    __slots__ = ("_graph",)

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def entities(self, kind: str) -> Sequence[Entity]:
        """Return all entities of a kind, in order of the inventory."""
        return self._graph.entities_of(kind)


class Watch:
    """An expression whose value somebody follows.

    `evaluate` may be exchanged while it lives; `fire` gets the new value, and None for unknown.
    """

    __slots__ = ("alive", "asked", "cells", "env", "evaluate", "fire", "graph", "node", "structure", "value")  # fmt: skip
    MADE: ClassVar = ("evaluate",)

    def __init__(self, graph: Graph, node: Typed, env: Env, fire: Callable[[Any], None]) -> None:
        self.graph = graph
        self.node = node
        self.env = env
        self.fire = fire
        self.value: Any = None
        self.alive = True
        self.asked: Callable[[], Any] | None = None
        self.evaluate = graph.bind(node, env)
        self.cells: Mapping[Cell, None] | tuple[Cell, ...] = ()
        self.structure: Structure = ()
        self._subscribe()

    @property
    def is_plain(self) -> bool:
        """True while the expression alone gives the answer."""
        return self.asked is None

    def remake(self) -> None:
        """Bind the function of the expression when it is first asked: a city that returns has thousands."""
        self.evaluate = self._ask_first if self.asked is None else self.asked

    def _ask_first(self) -> Any:
        return self.bound()()

    def bound(self) -> Callable[[], Any]:
        """Return the function of the expression itself, for who keeps it."""
        if self.asked is None:
            self.evaluate = self.graph.bind(self.node, self.env)
        return self.evaluate

    def ask_instead(self, evaluate: Callable[[], Any]) -> None:
        """Follow the same cells, with another way to answer."""
        self.evaluate = self.asked = evaluate
        for cell in self.cells:
            cell.react = None

    def turn_to(self, node: Typed) -> None:
        """Follow another expression of the same variables from now on."""
        if node is not self.node:
            self.node = node
            self.bound()
            self._subscribe()
            for cell in self.cells:
                cell.react = None

    def check(self) -> None:
        """Ask again; fire when the answer is another."""
        if not self.alive:
            return
        self.graph.turn = self
        value = self.evaluate()
        if self.structure and leads_elsewhere(self.structure):
            self._subscribe()
        if value is not self.value:
            self.changed(value)

    def changed(self, value: Any) -> None:
        """Take a new value; the fast path has compared by identity only."""
        if not self.alive or (type(value) is type(self.value) and value == self.value):
            return
        self.value = value
        self.graph.turn = self
        self.fire(value)

    def _subscribe(self) -> None:
        cells, self.structure = self.graph.sources(self.node, self.env)
        before = self.cells
        if cells.keys() == set(before):
            return
        for cell in before:
            if cell not in cells:
                cell.drop_watch(self)
                cell.react = None
                self.graph.forget_if_unread(cell)
        for cell in cells:
            if cell not in before:
                cell.add_watch(self)
                cell.react = None
        self.cells = tuple(cells) if len(cells) <= FEW else cells

    def close(self) -> None:
        """Stop following, and let go of who followed: the two would hold each other for ever in a frozen engine."""
        self.alive = False
        for cell in self.cells:
            cell.drop_watch(self)
            cell.react = None
            self.graph.forget_if_unread(cell)
        self.cells = ()
        self.fire = _unheard


def _unheard(_value: Any) -> None:
    """Take the value of a watch that was closed."""


def _nobody() -> bool:
    return False


def _asking(watches: tuple[Watch, ...]) -> Callable[[], bool]:
    pairs = tuple((w.bound(), w) for w in watches)

    def react() -> bool:
        moved = False
        for evaluate, watch in pairs:
            watch.graph.turn = watch
            truth = evaluate()
            if truth is not watch.value:
                watch.changed(truth)
                moved = True
        return moved

    return react


class Node:
    """A value that is worked out from others; its `update` is called when one of them changed."""

    __slots__ = ("alive", "cell", "graph", "order", "queued", "rank", "sources")

    def __init__(self, graph: Graph, cell: Cell) -> None:
        self.graph = graph
        self.cell = cell
        self.rank = 1
        self.order = graph.next_order()
        self.queued = False
        self.alive = True
        self.sources: dict[Cell, None] = {}
        cell.source = self

    def update(self) -> bool:
        """Work the value out again and return whether it changed."""
        raise NotImplementedError

    def follow(self, cells: Mapping[Cell, None]) -> None:
        """Depend on exactly these cells."""
        for cell in self.sources:
            if cell not in cells:
                cell.drop_node(self)
                cell.react = None
                self.graph.forget_if_unread(cell)
        for cell in cells:
            cell.add_node(self)
            cell.react = None
            if cell.source is not None and cell.source.rank >= self.rank:
                self.rank = cell.source.rank + 1
        self.sources = dict(cells)

    def store(self, value: Any, quality: Quality = Quality.GOOD) -> bool:
        """Put the value into the node's cell and return whether it changed."""
        now = self.graph.clock.now
        return self.cell.put(value, quality if value is not None else Quality.MISSING, now, now)

    def close(self) -> None:
        """Depend on nothing any more."""
        self.alive = False
        self.follow({})


class Formula(Node):
    """A derived value that is a plain expression."""

    __slots__ = ("env", "evaluate", "node", "structure")
    MADE: ClassVar = ("evaluate",)

    def __init__(self, graph: Graph, cell: Cell, node: Typed, env: Env) -> None:
        super().__init__(graph, cell)
        self.node = node
        self.env = env
        self.remake()
        cells, self.structure = graph.sources(node, env)
        self.follow(cells)

    def remake(self) -> None:
        """Bind the function of the expression."""
        self.evaluate = self.graph.bind(self.node, self.env)

    def begin(self) -> None:
        """Work the value out for the first time: it is as old as what it is made of."""
        self.update()
        since = [c.since for c in self.sources if c.since is not None]
        if self.cell.value is not None and since:
            self.cell.since = max(since)

    def update(self) -> bool:
        """Evaluate the expression."""
        value = self.evaluate()
        if leads_elsewhere(self.structure):
            cells, self.structure = self.graph.sources(self.node, self.env)
            self.follow(cells)
        return self.store(value)


class Graph:
    """All cells, and everything that follows them.

    Attributes:
        entities: By id, in order of the inventory.
        by_kind: The entities of each kind, in the same order.
        globals: Values of the city by name.
        hoisters: Makes the node of each expression with a state of its own; the engine fills it.
        pairs: How many pairs of entities are followed by all declarations together.
        turn: Whose turn it is within a tick, for who counts what rules cost: a watch, or what was due; a generated function says
            nothing here.
        on_too_many: Told which pairs are left out, since there are too many.
    """

    MADE: ClassVar = ("_calls", "_compiled", "_free", "_paths", "_reactions", "_readers", "turn")

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        timers: Timers,
        guard: Callable[[Callable[..., Any]], Callable[..., Any]],
    ) -> None:
        self.kinds = dict(kinds)
        self.timers = timers
        self.clock = Clock()
        self.city = CityView(self)
        self.entities: dict[str, Entity] = {}
        self.by_kind: dict[str, list[Entity]] = {}
        self.globals: dict[str, Cell] = {}
        self.hoisters: dict[type[Typed], Callable[[Any, Env, Cell], Node]] = {}
        self.on_new_entity: dict[str, list[Callable[[Entity], None]]] = {}
        self.make_global: Callable[[str], Cell | None] = lambda key: None
        self.pairs = 0
        self.on_too_many: Callable[[str], None] = lambda text: None
        self.rounds = 0
        self.has_circle = False
        self._asked: dict[Watch, int] = {}
        self._guard = guard
        self._order = 0
        self._keys: dict[Cell, tuple[Any, ...]] = {}
        self._heap: list[tuple[int, int, Node]] = []
        self._pending: dict[Watch, None] = {}
        self._hoisted: dict[tuple[Any, ...], Cell] = {}
        self.remake()

    def remake(self) -> None:
        """Guard each function of a plugin, and compile each expression, when it is first needed."""
        self.turn: Watch | Callable[[], None] | None = None
        self._calls: dict[str, Callable[..., Any]] = {}
        self.forget_compiled()

    def forget_compiled(self) -> None:
        """Compile what is bound from now on anew: the expressions of rules that are gone must not be kept."""
        self._compiled: dict[Typed, Compiled] = {}
        self._free: dict[Typed, tuple[str, ...]] = {}
        self._reactions: dict[tuple[Typed, ...], Reaction] = {}
        self._readers: dict[Typed, tuple[Typed, ...]] = {}
        self._paths: dict[Typed, Paths | None] = {}

    def forget(self, nodes: Iterable[Typed]) -> None:
        """Let go of what was compiled of these expressions: a rule that is gone must not be kept."""
        gone = {part for node in nodes for part in typed.walk(node)}
        for part in gone:
            self._compiled.pop(part, None)
            self._free.pop(part, None)
            self._readers.pop(part, None)
            self._paths.pop(part, None)
        for together in [r for r in self._reactions if not gone.isdisjoint(r)]:
            del self._reactions[together]

    # ── entities ─────────────────────────────────────────────────────────────────────────────

    def entities_of(self, kind: str) -> Sequence[Entity]:
        """Return the entities of a kind."""
        return self.by_kind.get(kind, ())

    def add_entity(self, entity: Entity) -> None:
        """Take an entity in."""
        self.entities[entity.id] = entity
        self.by_kind.setdefault(entity.kind, []).append(entity)
        for listener in self.on_new_entity.get(entity.kind, ()):
            listener(entity)

    def next_order(self) -> int:
        """Return a number that grows: what was made first comes first."""
        self._order += 1
        return self._order

    # ── binding ──────────────────────────────────────────────────────────────────────────────

    def bind(
        self, node: Typed, env: Env, wanted: Callable[[Cell], Cell] | None = None
    ) -> Callable[[], Any]:
        """Return the function of an expression, bound to the entities in its variables.

        Args:
            node: The expression.
            env: Its variables.
            wanted: Gives the cell behind `wanted(point)`; an invariant judges a candidate that is not wanted yet.
        """
        if isinstance(node, Read) and is_static(node.base):
            return (
                self.cell(node, env).now
            )  # a city has a hundred thousand of these: a function of its own takes thrice as much
        compiled = self._compiled.get(node)
        if compiled is None:
            compiled = self._compiled[node] = compile_expression(node)
        if wanted is not None:
            return compiled.make(
                *(
                    wanted(self.cell(s.what.read, env))
                    if s.how == "wanted"
                    else self._slot(s.how, s.what, env)
                    for s in compiled.slots
                )
            )
        return compiled.make(*(self._slot(s.how, s.what, env) for s in compiled.slots))

    def _slot(self, how: str, what: Any, env: Env) -> Any:
        match how:
            case "cell":
                return self.cell(what, env)
            case "hoisted":
                return self.hoist(what, env)
            case "wanted":
                return self.cell(what.read, env).wanted_cell()
            case "variable":
                return env[what.name]
            case "entity":
                return self.entities[what.id]
            case "clock":
                return self.clock
            case "function":
                return self._call_of(what)
            case "city":
                return self.city
            case _:
                return what

    def _call_of(self, function: Function) -> Callable[..., Any]:
        call = self._calls.get(function.name)
        if call is None:
            call = self._calls[function.name] = self._guard(honest(function))
        return call

    def reaction(self, watches: tuple[Watch, ...]) -> Callable[[], bool]:
        """Return the function that asks everybody who reads a cell; it says whether one had another answer.

        Made once and kept in the cell until somebody comes, goes, or follows another expression. A few conditions become
        one generated function, shared by all cells that are read alike; many are asked in a loop.
        """
        if not watches:
            return _nobody
        if len(watches) > MOST_INLINED or not all(w.is_plain for w in watches):
            return _asking(watches)
        nodes = tuple([w.node for w in watches])
        reaction = self._reactions.get(nodes)
        if reaction is None:
            reaction = self._reactions[nodes] = compile_reaction(nodes)
        bound: list[Any] = []
        for watch, slots in zip(watches, reaction.slots, strict=True):
            bound.append(watch)
            bound.extend(self._slot(s.how, s.what, watch.env) for s in slots)
        return reaction.make(*bound)

    def base(self, node: Typed, env: Env) -> Entity | None:
        """Return the entity that an expression leads to now, or None."""
        if isinstance(node, typed.Var):
            found = env[node.name]
        elif isinstance(
            node, Read
        ):  # a path of references: followed here, without a function of its own
            holder = self.base(node.base, env)
            found = None if holder is None else holder.cells[node.point].value
        elif isinstance(node, typed.EntityConst):
            found = self.entities[node.id]
        else:
            found = self.bind(node, env)()
        return found if isinstance(found, Entity) else None

    def cell(self, read: Read, env: Env) -> Cell:
        """Return the cell of a point whose entity is known.

        Raises:
            KeyError: The entity is unknown now, or has no such point.
        """
        entity = self.base(read.base, env)
        if entity is None:
            raise KeyError(read.point)
        return entity.cells[read.point]

    def sources(self, node: Typed, env: Env) -> tuple[dict[Cell, None], Structure]:
        """Return the cells that an expression reads now, and the references that led to some of them."""
        cells: dict[Cell, None] = {}
        structure: dict[Cell, Any] = {}
        if node in self._paths:
            paths = self._paths[node]
        else:
            paths = self._paths[node] = _paths_of(self._parts_that_read(node))
        if paths is None:
            self._collect(node, env, cells, structure)
        else:
            self._collect_paths(paths, env, cells, structure)
        return cells, tuple(structure.items())

    @staticmethod
    def _collect_paths(
        paths: Paths, env: Env, cells: dict[Cell, None], structure: dict[Cell, Any]
    ) -> None:
        """Do what `_collect` does, for plain paths: a bus that has a next junction every minute moves its watch each time."""
        for name, points in paths:
            holder: Any = env[name]
            for point in points[:-1]:
                if not isinstance(holder, Entity):
                    break
                cell = holder.cells[point]
                cells[cell] = None
                structure[cell] = holder = cell.value
            if isinstance(holder, Entity):
                cells[holder.cells[points[-1]]] = None

    def _collect(
        self, node: Typed, env: Env, cells: dict[Cell, None], structure: dict[Cell, Any]
    ) -> None:
        for part in self._parts_that_read(node):
            match part:
                case Read() | typed.Members() | typed.Wanted() | typed.Age():
                    self._collect_read(part, env, cells, structure)
                case typed.Apply():
                    self._collect_function(part, cells)
                case typed.Builtin():
                    self._collect_positions(part, env, cells, structure)
                case _:
                    cells[self.hoist(part, env)] = None

    def _parts_that_read(self, node: Typed) -> tuple[Typed, ...]:
        """Return the parts of an expression that read a cell by themselves; worked out once per expression."""
        parts = self._readers.get(node)
        if parts is None:
            parts = self._readers[node] = tuple(_parts_that_read(node))
        return parts

    def _collect_read(
        self,
        node: Read | typed.Members | typed.Wanted | typed.Age,
        env: Env,
        cells: dict[Cell, None],
        structure: dict[Cell, Any],
    ) -> None:
        base = node.read.base if isinstance(node, (typed.Wanted, typed.Age)) else node.base
        entity = self._led_to(base, env, cells, structure)
        if entity is None:
            return
        match node:
            case Read():
                cells[entity.cells[node.point]] = None
            case typed.Members():
                cells[entity.relations[node.relation]] = None
            case typed.Wanted():
                cells[entity.cells[node.read.point].wanted_cell()] = None
            case _:
                cells[entity.cells[node.read.point]] = None

    def _led_to(
        self, base: Typed, env: Env, cells: dict[Cell, None], structure: dict[Cell, Any]
    ) -> Entity | None:
        """Return where a path leads now; the references on it are read too, and may lead elsewhere later."""
        if not is_static(base):
            on_the_way: dict[Cell, None] = {}
            self._collect(base, env, on_the_way, structure)
            cells.update(on_the_way)
            structure.update((cell, cell.value) for cell in on_the_way)
        return self.base(base, env)

    def _collect_function(self, node: typed.Apply, cells: dict[Cell, None]) -> None:
        for path in node.function.reads:
            kind, _, point = path.partition(".")
            for entity in self.entities_of(kind):
                if entity.cells.has(point):
                    cells[entity.cells[point]] = None

    def _collect_positions(
        self, node: typed.Builtin, env: Env, cells: dict[Cell, None], structure: dict[Cell, Any]
    ) -> None:
        for argument in node.arguments:
            if argument.type.base.value == "reference":
                entity = self._led_to(argument, env, cells, structure)
                if entity is not None and entity.position is not None:
                    cells[entity.position] = None

    # ── values with a state of their own ─────────────────────────────────────────────────────

    def hoist(self, node: Typed, env: Env) -> Cell:
        """Return the cell of an expression that keeps a state of its own, made when first asked for."""
        if isinstance(node, typed.Global):
            return self.global_cell(node.key)
        key = (node, *(env[name] for name in self._free_variables(node)))
        cell = self._hoisted.get(key)
        if cell is None:
            spec = PointSpec("", node.type if node.type is not None else ANY)
            self._order += 1
            cell = self._hoisted[key] = Cell(wording(node), spec)
            self._keys[cell] = key
            made = self.hoisters[type(node)](
                node, {n: env[n] for n in self._free_variables(node)}, cell
            )
            made.update()
        return cell

    def known_hoist(self, node: Typed, env: Env) -> Cell | None:
        """Return the cell of an expression that keeps a state of its own, or None when nobody has asked for it yet."""
        if isinstance(node, typed.Global):
            return self.globals.get(node.key)
        return self._hoisted.get((node, *(env[name] for name in self._free_variables(node))))

    def global_cell(self, key: str) -> Cell:
        """Return a value of the city.

        Raises:
            KeyError: There is none of that name.
        """
        cell = self.globals.get(key)
        if cell is None:
            cell = self.make_global(key)
            if cell is None:
                raise KeyError(key)
            self.globals[key] = cell
        return cell

    def _free_variables(self, node: Typed) -> tuple[str, ...]:
        found = self._free.get(node)
        if found is None:
            bound = {
                n.variable
                for n in typed.walk(node)
                if isinstance(n, (typed.AllOf, typed.Aggregate, typed.Nearest))
            }
            names = dict.fromkeys(
                n.name for n in typed.walk(node) if isinstance(n, typed.Var) and n.name not in bound
            )
            found = self._free[node] = tuple(names)
        return found

    def forget_if_unread(self, cell: Cell) -> None:
        """Let go of a hoisted value that nobody reads any more."""
        key = self._keys.get(cell)
        if key is not None and not cell.watches and not cell.nodes:
            del self._keys[cell], self._hoisted[key]
            if cell.source is not None:
                cell.source.close()
                cell.source = None  # the two would hold each other

    # ── spreading changes ────────────────────────────────────────────────────────────────────

    def put(self, cell: Cell, value: Any, quality: Quality = Quality.GOOD) -> bool:
        """Set a cell of the engine's own; what follows it is asked at the next flush."""
        now = self.clock.now
        changed = cell.put(value, quality, now, now)
        if changed:
            self.touch(cell)
        return changed

    def touch(self, cell: Cell) -> None:
        """Remember everybody who reads a cell that changed."""
        for node in cell.nodes:
            self.mark(node)
        if cell.watches:
            self._pending.update(dict.fromkeys(cell.watches))

    def mark(self, node: Node) -> None:
        """Have a derived value worked out again at the next flush."""
        if not node.queued and node.alive:
            node.queued = True
            heapq.heappush(self._heap, (node.rank, node.order, node))

    def ask(self, watch: Watch) -> None:
        """Have a watch asked at the next flush."""
        self._pending[watch] = None

    def flush(self) -> None:
        """Run all changes through: derived values in order of rank, then the watches that read them."""
        heap = self._heap
        while heap or self._pending:
            while heap:
                node = heapq.heappop(heap)[2]
                node.queued = False
                if node.alive and node.update():
                    self.touch(node.cell)
            pending, self._pending = list(self._pending), {}
            self.rounds += 1
            for index, watch in enumerate(pending, start=1):
                if self.rounds > MANY_ROUNDS and self._is_in_a_circle(watch):
                    self._pending = {}
                    self.has_circle = True
                    return
                watch.check()
                if (
                    heap
                ):  # it changed a value of the engine's own: those behind must not see half of that
                    self._pending = dict.fromkeys(pending[index:]) | self._pending
                    break

    def _is_in_a_circle(self, watch: Watch) -> bool:
        """True when a condition was asked so often in one tick that it must depend on itself."""
        if self.rounds == MANY_ROUNDS + 1:
            self._asked = {}
        self._asked[watch] = times = self._asked.get(watch, 0) + 1
        return times > MOST_OFTEN

    @property
    def is_calm(self) -> bool:
        """True when no change waits to be run through."""
        return not self._heap and not self._pending
