"""Where the code of an installed plugin lies, found without importing any of it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Final

from pilotage.hookspecs import INTERFACE_NAME

_CACHES: Final = frozenset({"__pycache__"})
_BYTECODE: Final = frozenset({".pyc", ".pyo"})
# What an installer writes about itself; pip rewrites RECORD when it compiles.
_INSTALLERS: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


def module_file(module: str) -> Path | None:
    """Return the file of a module, None when there is none; packages above it are not imported."""
    names = module.split(".")
    search: list[str] | None = None
    for number, name in enumerate(names):
        spec = PathFinder.find_spec(".".join(names[: number + 1]), search)
        if spec is None:
            return None
        if number == len(names) - 1:
            return Path(spec.origin) if spec.origin else None
        search = list(spec.submodule_search_locations or ())
        del name
    return None


def declared_interface(entry: EntryPoint) -> str:
    """Return the interface that a plugin says it was built for, empty when it says none; nothing is imported."""
    file = module_file(entry.module)
    if file is None or file.suffix != ".py":
        return ""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""  # importing it will say what is wrong
    return next((found for node in tree.body if (found := _declared(node))), "")


def files_of(distribution: Distribution, entries: list[EntryPoint]) -> dict[str, Path]:
    """Return every file that a distribution brings, by its name in the environment: recorded ones, and those beside them.

    Bytecode is left out: a pinned plugin is compiled from its source.
    """
    found = dict(_recorded(distribution))
    for top in sorted({entry.module.partition(".")[0] for entry in entries}):
        found.update(_package(top))
    return dict(sorted(found.items()))


def _declared(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
            pass
        case _:
            return ""
    return str(value) if name == INTERFACE_NAME else ""


def _recorded(distribution: Distribution) -> Iterator[tuple[str, Path]]:
    for recorded in distribution.files or ():
        path = Path(str(distribution.locate_file(recorded)))
        if recorded.name in _INSTALLERS or recorded.suffix in _BYTECODE:
            continue
        yield recorded.as_posix(), path


def _package(top: str) -> Iterator[tuple[str, Path]]:
    file = module_file(top)
    if file is None:
        return
    if file.name != "__init__.py":
        yield file.name, file
        return
    for folder, below, names in os.walk(file.parent, followlinks=True):
        below[:] = [name for name in below if name not in _CACHES]
        for name in names:
            path = Path(folder, name)
            if path.suffix not in _BYTECODE:
                yield path.relative_to(file.parent.parent).as_posix(), path
