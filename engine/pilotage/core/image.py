"""An engine as bytes, and back: every value, window, timer and running story exactly as it stood between two ticks.

The image holds the live objects themselves, not a description of them, so nothing that a room keeps can be forgotten:
an engine that is read back decides the same, byte for byte. What is worked out from the rest (generated functions, caches)
is left out and made anew. An image fits the code that wrote it and no other.

Objects are written by number and, class by class, attribute by attribute (`image_columns`), since a city has a million of
them. The bytes themselves hold numbers, texts and lists alone; the reader makes objects of this engine and calls nothing of
others.
"""

from __future__ import annotations

import gc
import io
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

from pilotage.core.engine import Engine
from pilotage.core.image_columns import ColumnReader, ColumnWriter, ImageError
from pilotage.model.entities import Function

__all__ = ["ImageError", "dump", "load", "load_with"]
FORMAT: Final = 2


def dump(engine: Engine, code: str, beside: Any = None) -> bytes:
    """Return the image of an engine between two ticks.

    Args:
        engine: The engine.
        code: Names the code that runs it.
        beside: Plain records of the rooms that touch nothing outside, which share much with the engine.

    Raises:
        ImageError: Something in the engine cannot be written down: a room keeps what it should not.
    """
    with _no_collection():
        return pickle.dumps((FORMAT, code, *ColumnWriter().write(engine, [beside])), protocol=5)


def load(image: bytes, functions: Mapping[str, Function], code: str) -> Engine:
    """Return the engine of an image, ready for its next tick; see `load_with`."""
    return load_with(image, functions, code)[0]


def load_with(image: bytes, functions: Mapping[str, Function], code: str) -> tuple[Engine, Any]:
    """Return the engine of an image, ready for its next tick, and what was kept beside it.

    Args:
        image: What `dump` gave.
        functions: The plugins' functions by name; each that a rule calls must be there.
        code: Names the code that runs now.

    Raises:
        ImageError: The image was written by other code, is damaged, or calls a function that is not there.
    """
    try:
        with _no_collection():
            format_, written_by, *parts = _PlainReader(io.BytesIO(image)).load()
            if (format_, written_by) != (FORMAT, code):
                raise ImageError("the image was written by another version of the engine")
            objects = ColumnReader(functions).read(*parts)
            return _ready(objects), objects[1][0]
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"the image cannot be read: {type(error).__name__}: {error}") from error


class _PlainReader(pickle.Unpickler):
    """Reads numbers, texts and lists, and nothing that has a name."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse everything.

        Raises:
            ImageError: Always.
        """
        raise ImageError(f"an image does not hold {module}.{name}")


def _ready(objects: list[Any]) -> Engine:
    """Work out what was left out of the objects of an image, and return the first, the engine."""
    engine = objects[0]
    if not isinstance(engine, Engine):
        raise ImageError("the image is not whole")
    first = (engine.graph, engine.schedule)  # the others ask them
    for obj in first:
        obj.remake()
    for cls, some in groupby(objects, type):
        if hasattr(cls, "remake"):
            for obj in some:
                if obj not in first:
                    obj.remake()
    engine.graph.flush()
    return engine


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
