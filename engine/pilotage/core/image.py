"""An engine as bytes, and back: every value, window, timer and running story exactly as it stood between two ticks.

The image holds the live objects themselves, not a description of them, so nothing that a room keeps can be forgotten:
an engine that is read back decides the same, byte for byte. What is worked out from the rest (generated functions, caches)
is left out and made anew. An image fits the code that wrote it and no other.

The bytes are pickled, and read with an own reader that makes objects of this engine alone and calls nothing of others.
"""

from __future__ import annotations

import dataclasses
import gc
import io
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from types import FunctionType, MappingProxyType, MethodType
from typing import Any, Final

from pilotage.core.engine import Engine
from pilotage.model.entities import Function

FORMAT: Final = 1
ROOMS: Final = ("model", "language", "core")
AT_ONCE: Final = 2_000
"""Objects whose states are written together."""
_OTHERS: Final[Mapping[tuple[str, str], Any]] = {
    ("functools", "partial"): partial,
    ("collections", "deque"): deque,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
}


class ImageError(Exception):
    """These bytes are no image of an engine that this code could run."""


def dump(engine: Engine, code: str) -> bytes:
    """Return the image of an engine between two ticks.

    Args:
        engine: The engine.
        code: Names the code that runs it.

    Raises:
        ImageError: Something in the engine cannot be written down: a room keeps what it should not.
    """
    stream = io.BytesIO()
    writer = _Writer(stream)
    writer.persistent_id(engine)
    try:
        with _no_collection():
            for states in writer.states():
                writer.dump(states)
            writer.dump(None)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ImageError(f"{writer.culprit()} cannot be written down: {error}") from error
    head = pickle.dumps((FORMAT, code, writer.classes()))
    return len(head).to_bytes(8, "big") + head + stream.getvalue()


def load(image: bytes, functions: Mapping[str, Function], code: str) -> Engine:
    """Return the engine of an image, ready for its next tick.

    Args:
        image: What `dump` gave.
        functions: The plugins' functions by name; each that a rule calls must be there.
        code: Names the code that runs now.

    Raises:
        ImageError: The image was written by other code, is damaged, or calls a function that is not there.
    """
    view = memoryview(image)
    length = int.from_bytes(view[:8], "big")
    try:
        with _no_collection():
            format_, written_by, names = _Reader(io.BytesIO(view[8 : 8 + length])).load()
            if (format_, written_by) != (FORMAT, code):
                raise ImageError("the image was written by another version of the engine")
            return _rebuild(view[8 + length :], names, functions)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"the image cannot be read: {type(error).__name__}: {error}") from error


# ── writing ──────────────────────────────────────────────────────────────────────────────────


class _Writer(pickle.Pickler):
    """Writes objects of the core by number, so that a chain of references is never followed into the depth."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=5)
        self._numbers: dict[int, int] = {}
        self._objects: list[Any] = []

    def persistent_id(self, obj: Any) -> int | str | None:
        """Return the number of an object of the core, or the name of a plugin's function."""
        if not _SHAPES[type(obj)].is_apart:
            return None
        if isinstance(obj, Function):
            return obj.name
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self._objects)
            self._objects.append(obj)
        return number

    def reducer_override(self, obj: Any) -> Any:
        """Write a method as its owner and its name, a mapping as one, a frozen record as a call with its fields."""
        if isinstance(obj, MethodType):
            return _method, (obj.__self__, obj.__name__)
        if isinstance(obj, MappingProxyType):
            return _read_only, (dict(obj),)
        fields = _SHAPES[type(obj)].fields
        if fields:
            return type(obj), tuple([getattr(obj, name) for name in fields])
        return NotImplemented

    def states(self) -> Iterator[list[Any]]:
        """Return the state of each object, also of those that are found on the way."""
        done = 0
        while done < len(self._objects):
            some = self._objects[done : done + AT_ONCE]
            done += len(some)
            yield [_state(each) for each in some]

    def culprit(self) -> str:
        """Return which attribute of which class is no plain data."""
        for obj in self._objects:
            state = _state(obj)
            named = (
                state.items()
                if isinstance(state, dict)
                else zip(_SHAPES[type(obj)].slots, state, strict=False)
            )
            for name, value in named:
                try:
                    _Writer(io.BytesIO()).dump(value)
                except (pickle.PicklingError, TypeError, AttributeError):
                    return f"{type(obj).__name__}.{name}"
        return "the engine"

    def classes(self) -> tuple[tuple[type, ...], tuple[int, ...]]:
        """Return the classes there are, and which of them each object has."""
        numbers: dict[type, int] = {}
        of_each = tuple(numbers.setdefault(type(o), len(numbers)) for o in self._objects)
        return tuple(numbers), of_each


class _Shape:
    """What is written down of a class.

    Attributes:
        is_apart: True for one of many objects that refer to each other: written by number.
        made: Attributes that are worked out from the others by `remake`.
        slots: The slots that are written down.
        fill: Sets them.
        fields: Of a frozen record, in the order in which it is made of them.
    """

    def __init__(self, cls: type) -> None:
        ours = cls.__module__.startswith("pilotage.core.") and not issubclass(cls, (tuple, Enum))
        frozen = dataclasses.is_dataclass(cls) and getattr(cls, "__dataclass_params__").frozen  # noqa: B009
        self.is_apart = cls is Function or (ours and not frozen)
        self.made = frozenset(name for c in cls.__mro__ for name in c.__dict__.get("MADE", ()))
        slots = [name for c in reversed(cls.__mro__) for name in c.__dict__.get("__slots__", ())]
        self.slots = tuple(n for n in slots if n not in self.made)
        self.fill = _filler(self.slots)
        plain = frozen and "__reduce__" not in cls.__dict__
        self.fields = tuple(f.name for f in dataclasses.fields(cls)) if plain else ()


class _Shapes(dict[type, _Shape]):
    """The shape of each class, looked at once."""

    def __missing__(self, cls: type) -> _Shape:
        shape = self[cls] = _Shape(cls)
        return shape


_SHAPES: Final = _Shapes()


def _state(obj: Any) -> Any:
    shape = _SHAPES[type(obj)]
    slots = [getattr(obj, name) for name in shape.slots]
    if not hasattr(obj, "__dict__"):
        return slots
    kept = {name: value for name, value in obj.__dict__.items() if name not in shape.made}
    return (kept, slots) if slots else kept


# ── reading ──────────────────────────────────────────────────────────────────────────────────


class _Reader(pickle.Unpickler):
    """Makes objects of this engine, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or a function of the engine.

        Raises:
            ImageError: It is anything else.
        """
        other = _OTHERS.get((module, name))
        if other is not None:
            return other
        if _is_ours(module) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, (type, FunctionType)) and _is_ours(found.__module__):
                return found
        raise ImageError(f"an image does not hold {module}.{name}")


def _is_ours(module: str) -> bool:
    """Return whether a module is of the rooms that touch nothing outside."""
    return module.startswith(tuple(f"pilotage.{room}." for room in ROOMS))


def _method(owner: Any, name: str) -> Callable[..., Any]:
    """Return a method of an object of the core."""
    if not _SHAPES[type(owner)].is_apart:
        raise ImageError(f"{name} is no method of the core")
    method = getattr(owner, name)
    if not isinstance(method, MethodType):
        raise ImageError(f"{type(owner).__name__}.{name} is no method")
    return method


def _read_only(mapping: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(mapping)


def _rebuild(
    stream: memoryview,
    classes: tuple[tuple[type, ...], tuple[int, ...]],
    functions: Mapping[str, Function],
) -> Engine:
    """Make every object empty, then fill them, then work out what was left out."""
    of_number, of_each = classes
    objects = [_empty(of_number[number]) for number in of_each]
    known: dict[int | str, Any] = dict(enumerate(objects))
    known.update(functions)
    reader = _Reader(io.BytesIO(stream))
    reader.persistent_load = known.__getitem__  # type: ignore[method-assign]
    at = 0
    while (states := reader.load()) is not None:
        for obj, state in zip(objects[at : at + len(states)], states, strict=True):
            _fill(obj, state)
        at += len(states)
    if at != len(objects) or not isinstance(objects[0], Engine):
        raise ImageError("the image is not whole")
    engine: Engine = objects[0]
    first = (engine.graph, engine.schedule)  # the others ask them
    for obj in (*first, *(o for o in objects if _SHAPES[type(o)].made and o not in first)):
        obj.remake()
    engine.make_ready()
    return engine


def _empty(cls: Any) -> Any:
    return cls.__new__(cls)


def _fill(obj: Any, state: Any) -> None:
    slots = state
    if isinstance(state, tuple):
        kept, slots = state
        obj.__dict__.update(kept)
    elif isinstance(state, dict):
        obj.__dict__.update(state)
        return
    _SHAPES[type(obj)].fill(obj, slots)


def _filler(slots: tuple[str, ...]) -> Callable[[Any, list[Any]], None]:
    """Return a function that sets the slots of an object: one statement is ten times as fast as a loop of `setattr`."""
    if not slots:
        return lambda obj, state: None
    source = f"def fill(obj, state):\n    ({', '.join(f'obj.{name}' for name in slots)},) = state\n"
    scope: dict[str, Any] = {"__builtins__": {}}
    exec(source, scope)
    fill: Callable[[Any, list[Any]], None] = scope["fill"]
    return fill


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector back: a million new objects would have it look at all of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
