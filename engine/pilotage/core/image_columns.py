"""Objects as columns: all values of one attribute of one class together, so that Python's own loops in C do the work.

Whatever is known by its identity (objects of the core, records of rules, dicts, lists) is written by number. A *column* is a
list of values as plain data: what it is, then its parts, which are columns again.
"""

from __future__ import annotations

import dataclasses
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial
from importlib import import_module
from itertools import accumulate, chain, count, groupby, islice, pairwise, repeat
from operator import attrgetter, is_
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType
from typing import Any, Final

from pilotage.core.store import EntitySet
from pilotage.model.entities import Function

ROOMS: Final = ("model", "language", "core")
_CONTAINERS: Final[tuple[type, ...]] = (dict, list, set, deque)
_SCALARS: Final[frozenset[type]] = frozenset({type(None), bool, int, float, str, bytes})

WIDEST: Final = 16
"""Tuples of up to so many items become a column for each place; longer ones are written one after the other."""

Column = tuple[Any, ...]
"""A word for what it holds, then its parts."""

Parts = tuple[
    list[tuple[str, str]], list[tuple[int, int]], list[Any], list[Any], list[Any], list[Any]
]
"""Names of classes; which of them how many objects in turn have; how long deques may be; sets of entities; what fills objects; what
fills containers."""


class ImageError(Exception):
    """These bytes are no image of an engine that this code could run, or an engine cannot become one."""


# ── what is written how ──────────────────────────────────────────────────────────────────────


class _Shape:
    """How the objects of a class are written.

    Attributes:
        how: `scalar`, `object` (by number, with attributes), `container` (by number, with items), `entities` (by number,
            made of its members), or a value of its own: `tuple`, `record`, `enum`, `method`, `partial`, `name`,
            `function`, `mapping`, `frozen set`, `compiled` (a method or a function of a compiled module).
        names: The attributes that are written down: slots (of a compiled class what it has in their place), or the fields of
            a frozen record.
        has_dict: True when each object has attributes of its own beside these.
        made: Attributes that are worked out from the others by `remake`.
    """

    __slots__ = ("cls", "has_dict", "how", "is_numbered", "made", "names")

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.how = _how(cls)
        self.is_numbered = self.how in ("object", "container", "entities")
        self.made = frozenset(name for c in cls.__mro__ for name in c.__dict__.get("MADE", ()))
        if self.how == "object" and _is_frozen(cls):
            self.has_dict = False
            self.names = tuple(f.name for f in dataclasses.fields(cls))
        else:
            compiled: tuple[str, ...] | None = cls.__dict__.get("__mypyc_attrs__")
            slots = [n for c in reversed(cls.__mro__) for n in c.__dict__.get("__slots__", ())]
            names = (n for n in compiled or slots if n != "__dict__")
            self.names = tuple(n for n in names if n not in self.made)
            self.has_dict = compiled is None and getattr(cls, "__dictoffset__", 0) != 0


class _Shapes(dict[type, _Shape]):
    """The shape of each class, looked at once."""

    def __missing__(self, cls: type) -> _Shape:
        shape = self[cls] = _Shape(cls)
        return shape


_SHAPES: Final = _Shapes()


def _how(cls: type) -> str:
    if cls in _SCALARS:
        return "scalar"
    if cls in _CONTAINERS:
        return "container"
    if cls in _BY_CLASS:
        return _BY_CLASS[cls]
    if issubclass(cls, Enum):
        return "enum"
    if issubclass(cls, type):
        return "name"
    if not _is_ours(cls.__module__):
        return ""
    if issubclass(cls, tuple):
        return "record" if hasattr(cls, "_fields") else ""
    ours = cls.__module__.startswith("pilotage.core.")
    return "object" if ours or _is_frozen(cls) else ""


_BY_CLASS: Final[Mapping[type, str]] = {
    tuple: "tuple",
    frozenset: "frozen set",
    MethodType: "method",
    partial: "partial",
    FunctionType: "name",
    BuiltinFunctionType: "compiled",
    MappingProxyType: "mapping",
    Function: "function",
    EntitySet: "entities",
}


def _is_frozen(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and bool(
        getattr(cls, "__dataclass_params__").frozen  # noqa: B009
    )


def _is_ours(module: str) -> bool:
    """Return whether a module is of the rooms that touch nothing outside."""
    return module.startswith(tuple(f"pilotage.{room}." for room in ROOMS))


def _is_of_core(owner: object) -> bool:
    return type(owner).__module__.startswith("pilotage.core.")


# ── writing ──────────────────────────────────────────────────────────────────────────────────


class ColumnWriter:
    """Writes objects and all that they lead to."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._objects: list[Any] = []
        self._classes: dict[type, int] = {}
        self._place = ""

    def write(self, *roots: Any) -> Parts:
        """Return everything that is needed to make these objects again.

        Raises:
            ImageError: Something cannot be written down.
        """
        self._numbered(list(roots))
        longest, late, filled, contained = [], [], [], []
        done = 0
        while done < len(self._objects):
            some = range(done, len(self._objects))
            done = len(self._objects)
            for key, numbers in self._alike(some).items():
                shape, objects = key[0], [self._objects[n] for n in numbers]
                of = array("I", numbers).tobytes()
                if shape.how == "entities":
                    late.append((of, self._tuples(objects)))
                elif shape.how == "container":
                    if shape.cls is deque:
                        longest.append((of, [obj.maxlen for obj in objects]))
                    contained += self._contents(shape.cls, numbers, objects)
                else:
                    filled.append((self._class(shape.cls), of, *self._attributes(key, objects)))
                    if issubclass(shape.cls, dict):
                        contained += self._contents(shape.cls, numbers, objects)
        runs = [(self._class(c), len(list(run))) for c, run in groupby(map(type, self._objects))]
        names = [(cls.__module__, cls.__qualname__) for cls in self._classes]
        return names, runs, longest, late, filled, contained

    def _alike(self, some: range) -> dict[tuple[Any, ...], list[int]]:
        """Part objects by class and by the attributes that they have."""
        found: dict[tuple[Any, ...], list[int]] = {}
        objects = self._objects
        classes = list(map(type, objects[some.start :]))
        for cls, run in groupby(some, lambda number: classes[number - some.start]):
            shape = _SHAPES[cls]
            if not shape.has_dict:
                found.setdefault((shape, ()), []).extend(run)
                continue
            for number in run:
                found.setdefault((shape, tuple(objects[number].__dict__)), []).append(number)
        return found

    def _attributes(
        self, key: tuple[_Shape, tuple[str, ...]], objects: list[Any]
    ) -> tuple[list[str], list[Column]]:
        shape, own = key
        names = [*shape.names, *(name for name in own if name not in shape.made)]
        columns = []
        for name in names:
            self._place = f"{shape.cls.__name__}.{name}"
            try:
                columns.append(self._encode(list(map(attrgetter(name), objects))))
            except AttributeError as error:
                raise self._refused(str(error)) from error
        return names, columns

    def _contents(
        self, cls: type, numbers: list[int], objects: list[Any]
    ) -> list[tuple[int, bytes, bytes, Column, Column | None]]:
        """Return what is in dicts and lists; nothing for those that are empty."""
        full = [(n, o) for n, o in zip(numbers, objects, strict=True) if o]
        if not full:
            return []
        self._place = f"what is in a {cls.__name__}"
        containers = [o for _, o in full]
        lengths = array("I", map(len, containers)).tobytes()
        of = array("I", [n for n, _ in full]).tobytes()
        items = self._encode(list(chain.from_iterable(containers)))
        values = None
        if issubclass(cls, dict):
            values = self._encode(list(chain.from_iterable(o.values() for o in containers)))
        return [(self._class(cls), of, lengths, items, values)]

    # ── columns ──────────────────────────────────────────────────────────────────────────────

    def _encode(self, values: list[Any]) -> Column:
        """Return values as a column; what is known by number gets one."""
        shapes = {cls: _SHAPES[cls] for cls in set(map(type, values))}
        ways = {_way(shape) for shape in shapes.values()}
        if len(ways) > 1:
            return self._mixed(values, shapes, sorted(ways, key=str))
        if not ways:
            return ("scalar", values)
        (way,) = ways
        return self._alike_column(way, values)

    def _mixed(
        self, values: list[Any], shapes: Mapping[type, _Shape], ways: list[tuple[str, Any]]
    ) -> Column:
        which = {cls: ways.index(_way(shape)) for cls, shape in shapes.items()}
        choice = bytes(map(which.__getitem__, map(type, values)))
        parts = []
        for index, way in enumerate(ways):
            some = [v for v, c in zip(values, choice, strict=True) if c == index]
            parts.append(self._alike_column(way, some))
        return ("mixed", choice, parts)

    def _alike_column(self, way: tuple[str, Any], values: list[Any]) -> Column:
        how, cls = way
        if len(values) > 1 and all(map(is_, values, repeat(values[0]))):
            return ("same", len(values), self._alike_column(way, values[:1]))
        match how:
            case "scalar":
                return ("scalar", values)
            case "number":
                return ("number", array("I", self._numbered(values)).tobytes())
            case "tuple":
                return self._tuples(values)
            case "record":
                return ("record", self._class(cls), self._transposed(values))
            case "enum":
                members = {id(value): value.name for value in values}
                at = {number: index for index, number in enumerate(members)}
                choice = bytes(map(at.__getitem__, map(id, values)))
                return ("enum", self._class(cls), list(members.values()), choice)
            case "method":
                owners = [v.__self__ for v in values]
                return ("method", self._encode(owners), [v.__name__ for v in values])
            case "compiled":
                owners = [v.__self__ if _is_of_core(v.__self__) else None for v in values]
                names = [
                    self._named(v) if owner is None else ("", v.__name__)
                    for v, owner in zip(values, owners, strict=True)
                ]
                return ("compiled", self._encode(owners), names)
            case "partial":
                kept = [(v.func, v.args, tuple(v.keywords.items())) for v in values]
                return ("partial", self._transposed(kept))
            case "mapping":
                return ("mapping", self._encode([tuple(v.items()) for v in values]))
            case "frozen set":
                return ("frozen set", self._encode([tuple(v) for v in values]))
            case "function":
                return ("function", [v.name for v in values])
            case "name":
                return ("name", [self._named(v) for v in values])
            case _:
                raise self._refused(f"it holds a {cls.__module__}.{cls.__qualname__}")

    def _tuples(self, values: list[Any]) -> Column:
        lengths = set(map(len, values))
        if len(lengths) == 1 and max(lengths) <= WIDEST:
            return ("alike", len(values), self._transposed(values))
        bounds = array("I", map(len, values)).tobytes()
        return ("tuple", bounds, self._encode(list(chain.from_iterable(values))))

    def _transposed(self, values: list[Any]) -> list[Column]:
        return [self._encode(list(column)) for column in zip(*values, strict=True)]

    def _numbered(self, values: list[Any]) -> list[int]:
        numbers, objects = self._numbers, self._objects
        ids = list(map(id, values))
        fresh = {i: value for i, value in zip(ids, values, strict=True) if i not in numbers}
        numbers.update(zip(fresh, count(len(objects))))
        objects.extend(fresh.values())
        return list(map(numbers.__getitem__, ids))

    def _class(self, cls: type) -> int:
        return self._classes.setdefault(cls, len(self._classes))

    def _named(self, value: Any) -> tuple[str, str]:
        module, name = value.__module__, value.__qualname__
        if not _is_ours(module) or getattr(sys.modules[module], name, None) is not value:
            raise self._refused(f"it holds {module}.{name}")
        return module, name

    def _refused(self, why: str) -> ImageError:
        return ImageError(f"{self._place} cannot be written down: {why}")


def _way(shape: _Shape) -> tuple[str, Any]:
    """Return what tells a column's values from others: those that are written alike have the same."""
    if shape.is_numbered:
        return ("number", None)
    return (shape.how, shape.cls if shape.how in ("record", "enum", "") else None)


# ── reading ──────────────────────────────────────────────────────────────────────────────────


class ColumnReader:
    """Makes objects again: all of them empty, then their attributes, then what is in their dicts and lists."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        """Prepare.

        Args:
            functions: The plugins' functions by name.
        """
        self._functions = functions
        self._objects: list[Any] = []
        self._classes: list[type] = []

    def read(
        self,
        names: list[tuple[str, str]],
        runs: list[tuple[int, int]],
        longest: list[Any],
        late: list[Any],
        filled: list[Any],
        contained: list[Any],
    ) -> list[Any]:
        """Return every object, those first that were asked for."""
        self._classes = [_class_of(module, name) for module, name in names]
        for which, how_many in runs:
            self._objects += _empty(self._classes[which], how_many)
        for of, limits in longest:
            for number, limit in zip(_numbers(of), limits, strict=True):
                self._objects[number] = deque(maxlen=limit)
        for of, members in late:
            for number, some in zip(_numbers(of), self._decode(members), strict=True):
                self._objects[number] = EntitySet(some)
        for which, of, attributes, columns in filled:
            self._fill(self._classes[which], self._these(of), attributes, columns)
        for which, of, lengths, items, values in contained:
            self._put_in(self._classes[which], self._these(of), _numbers(lengths), items, values)
        return self._objects

    def _these(self, numbers: bytes) -> list[Any]:
        return list(map(self._objects.__getitem__, _numbers(numbers)))

    def _fill(self, cls: type, objects: list[Any], names: list[str], columns: list[Column]) -> None:
        if not _is_frozen(cls):
            constant = [column[0] == "same" for column in columns]
            parts = [
                self._decode(column[2])[0] if is_same else self._decode(column)
                for column, is_same in zip(columns, constant, strict=True)
            ]
            _filler(tuple(zip(names, constant, strict=True)))(objects, *parts)
            return
        for name, column in zip(names, columns, strict=True):
            slot: Any = getattr(cls, name, None)
            if hasattr(slot, "__set__") and not isinstance(slot, property):
                deque(map(slot.__set__, objects, self._decode(column)), maxlen=0)
            else:
                for obj, value in zip(objects, self._decode(column), strict=True):
                    object.__setattr__(obj, name, value)

    def _put_in(
        self,
        cls: type,
        containers: list[Any],
        lengths: Iterable[int],
        items: Column,
        values: Column | None,
    ) -> None:
        each: Any = iter(self._decode(items))
        if values is not None:
            each = zip(each, self._decode(values), strict=True)
        add = cls.update if issubclass(cls, (dict, set)) else cls.extend  # type: ignore[attr-defined]
        for container, length in zip(containers, lengths, strict=True):
            add(container, islice(each, length))

    # ── columns ──────────────────────────────────────────────────────────────────────────────

    def _decode(self, column: Column) -> list[Any]:
        """Return the values of a column."""
        match column:
            case ("scalar", values):
                return list(values)
            case ("same", how_many, one):
                return self._decode(one) * int(how_many)
            case ("number", numbers):
                return self._these(numbers)
            case ("mixed", choice, parts):
                each = [iter(self._decode(part)) for part in parts]
                return [next(each[which]) for which in choice]
            case ("alike", how_many, parts):
                return self._rows(parts) if parts else [()] * int(how_many)
            case ("tuple", lengths, items):
                values = self._decode(items)
                ends = accumulate(_numbers(lengths), initial=0)
                return [tuple(values[start:end]) for start, end in pairwise(ends)]
            case ("record", which, parts):
                make = partial(tuple.__new__, self._classes[which])
                return list(map(make, self._rows(parts)))
            case ("enum", which, names, choice):
                members = [self._classes[which][name] for name in names]  # type: ignore[index]
                return [members[at] for at in choice]
            case _:
                return self._decode_rare(column)

    def _decode_rare(self, column: Column) -> list[Any]:
        match column:
            case ("method", owners, names):
                made: dict[tuple[int, str], Callable[..., Any]] = {}
                return [
                    made.get((id(o), n)) or made.setdefault((id(o), n), _method(o, n))
                    for o, n in zip(self._decode(owners), names, strict=True)
                ]
            case ("compiled", owners, names):
                return [
                    _named(module, name) if owner is None else _method(owner, name)
                    for owner, (module, name) in zip(self._decode(owners), names, strict=True)
                ]
            case ("partial", parts):
                return [partial(f, *a, **dict(k)) for f, a, k in self._rows(parts)]
            case ("mapping", items):
                return [MappingProxyType(dict(each)) for each in self._decode(items)]
            case ("frozen set", items):
                return [frozenset(each) for each in self._decode(items)]
            case ("function", names):
                return [self._function(name) for name in names]
            case ("name", names):
                return [_named(module, name) for module, name in names]
            case _:
                raise ImageError(f"an image does not hold {column[:1]}")

    def _rows(self, parts: list[Column]) -> list[tuple[Any, ...]]:
        return list(zip(*map(self._decode, parts), strict=True))

    def _function(self, name: str) -> Function:
        function = self._functions.get(name)
        if function is None:
            raise ImageError(f"no plugin brings the function {name}")
        return function


def _numbers(data: bytes) -> array[int]:
    found: array[int] = array("I")
    found.frombytes(data)
    return found


def _filler(attributes: tuple[tuple[str, bool], ...]) -> Callable[..., None]:
    """Return a function that sets attributes of many objects, of which some are the same for all.

    Generated, since plain statements are five times as fast as a loop of `setattr`.
    """
    if not all(name.isidentifier() for name, _ in attributes):
        raise ImageError("an image does not hold such attributes")
    several = [f"_{i}" for i, (_, is_same) in enumerate(attributes) if not is_same]
    columns = ", ".join(f"c{name}" for name in several)
    sets = "".join(f"        obj.{name} = _{i}\n" for i, (name, _) in enumerate(attributes))
    parameters = [f"_{i}" if is_same else f"c_{i}" for i, (_, is_same) in enumerate(attributes)]
    source = (
        f"def fill({', '.join(['objects', *parameters])}):\n"
        f"    for {', '.join(['obj', *several])}, in zip(objects, {columns}):\n"
        f"{sets or '        pass'}"
    )
    scope: dict[str, Any] = {"__builtins__": {"zip": zip}}
    exec(source, scope)
    fill: Callable[..., None] = scope["fill"]
    return fill


def _empty(cls: type, how_many: int) -> list[Any]:
    """Return objects without anything in them; None for those that are made when their members are known."""
    if cls in _CONTAINERS:
        return [cls() for _ in range(how_many)]
    if _SHAPES[cls].how == "object":
        make: Any = cls.__new__
        return list(map(make, repeat(cls, how_many)))
    return [None] * how_many


def _class_of(module: str, name: str) -> type:
    """Return a class of the engine, or one of Python's containers.

    Raises:
        ImageError: It is anything else.
    """
    for cls in _CONTAINERS:
        if (module, name) == (cls.__module__, cls.__qualname__):
            return cls
    found = _named(module, name)
    if isinstance(found, type):
        return found
    raise ImageError(f"an image does not hold {module}.{name}")


def _named(module: str, name: str) -> Any:
    """Return a class or a function of the engine.

    Raises:
        ImageError: It is anything else.
    """
    if _is_ours(module) and "." not in name:
        found = getattr(import_module(module), name, None)
        kinds = (type, FunctionType, BuiltinFunctionType)
        if isinstance(found, kinds) and _is_ours(found.__module__):
            return found
    raise ImageError(f"an image does not hold {module}.{name}")


def _method(owner: Any, name: str) -> Callable[..., Any]:
    """Return a method of an object of the core."""
    if not _is_of_core(owner):
        raise ImageError(f"{name} is no method of the core")
    method = getattr(owner, name)
    if not isinstance(method, (MethodType, BuiltinFunctionType)):
        raise ImageError(f"{type(owner).__name__}.{name} is no method")
    return method
