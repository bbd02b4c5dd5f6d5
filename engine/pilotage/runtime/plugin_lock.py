"""The plugins that may be loaded, each with the hashes of its files: `plugins.lock`, checked before anything is imported.

A distribution that was approved is compiled from its source, and each file is hashed once more as it is read: neither
bytecode that somebody left beside it nor a file that is exchanged later is run.
"""

from __future__ import annotations

import json
import site
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import CodeType
from typing import Any, Final

from pilotage.runtime.plugin_source import files_of

VERSION: Final = 1
SHOWN: Final = 3
_STARTUP_NAMES: Final = ("sitecustomize.py", "usercustomize.py")
_MEND: Final = "look at the change; if it is wanted: pilotage plugins lock"


class LockUnreadableError(ValueError):
    """The lock cannot be read; nothing may be loaded then. The text says why."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """One distribution as it was approved.

    Attributes:
        files: sha256 by name, as hexadecimal digits.
        approver: Who looked at it.
    """

    distribution: str
    version: str
    files: Mapping[str, str]
    approver: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that was approved.

    Attributes:
        startup: sha256 of what Python itself runs at its start: `.pth` files, `sitecustomize`.
    """

    pinned: Mapping[str, Pinned]
    startup: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, entry: EntryPoint, entries: Sequence[EntryPoint]) -> str:
        """Return why a plugin must not be imported; empty when all of it is as it was approved."""
        distribution = entry.dist
        if distribution is None:
            return f"is no installed distribution, and cannot be approved; {_MEND}"
        pinned = self.pinned.get(distribution.name)
        if pinned is None:
            return f"{distribution.name} is not in the lock; {_MEND}"
        if pinned.version != distribution.version:
            return f"{distribution.name} {distribution.version} is installed, {pinned.version} was approved; {_MEND}"
        differs = differences(pinned.files, hashes(files_of(distribution, _own(entries, entry))))
        return f"{'; '.join(differs)}; {_MEND}" if differs else ""

    def drift(self) -> list[str]:
        """Return what Python runs at its start that was not approved; it has run already."""
        return differences(self.startup, hashes(startup_files()))

    def guard(self, entries: Iterable[EntryPoint]) -> None:
        """Have the approved distributions compiled from their approved source, from now on."""
        listed = list(entries)
        hashed: dict[Path, str] = {}
        tops: set[str] = set()
        for entry in listed:
            pinned = self.pinned.get(entry.dist.name) if entry.dist is not None else None
            if entry.dist is None or pinned is None:
                continue
            files = files_of(entry.dist, _own(listed, entry))
            hashed |= {path.resolve(): pinned.files.get(name, "") for name, path in files.items()}
            tops.add(entry.module.partition(".")[0])
        sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _ApprovedFinder)]
        sys.meta_path.insert(0, _ApprovedFinder(frozenset(tops), hashed))


def make_lock(entries: Sequence[EntryPoint], approver: str) -> Lock:
    """Return the lock of what is installed now; nothing is imported."""
    pinned: dict[str, Pinned] = {}
    for entry in entries:
        if entry.dist is not None and entry.dist.name not in pinned:
            files = hashes(files_of(entry.dist, _own(entries, entry)))
            pinned[entry.dist.name] = Pinned(entry.dist.name, entry.dist.version, files, approver)
    return Lock(dict(sorted(pinned.items())), hashes(startup_files()))


def read_lock(file: Path) -> Lock:
    """Return a lock.

    Raises:
        LockUnreadableError: It is not there, no lock, or of another version.
    """
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockUnreadableError(
            f"{file}: {error.strerror}; write it: pilotage plugins lock"
        ) from error
    except ValueError as error:
        raise LockUnreadableError(
            f"{file} is no lock: {error}; write it anew: pilotage plugins lock"
        ) from error
    if raw.get("version") != VERSION:
        raise LockUnreadableError(
            f"{file}: version {raw.get('version')} is not known, {VERSION} is expected"
        )
    try:
        pinned = [_pinned(table) for table in raw.get("plugin", [])]
    except (KeyError, TypeError, AttributeError) as error:
        raise LockUnreadableError(
            f"{file}: an entry lacks {error}; write it anew: pilotage plugins lock"
        ) from error
    return Lock({each.distribution: each for each in pinned}, dict(raw.get("startup", {})))


def lock_text(lock: Lock) -> str:
    """Return a lock as it stands in its file."""
    lines = [
        "# What may be loaded, and what Python runs at its start. Written by `pilotage plugins lock`.",
        f"version = {VERSION}",
        "",
        "[startup]",
        *_pairs(lock.startup),
    ]
    for pinned in lock.pinned.values():
        lines += [
            "",
            "[[plugin]]",
            f"distribution = {json.dumps(pinned.distribution)}",
            f"version = {json.dumps(pinned.version)}",
            f"approved_by = {json.dumps(pinned.approver, ensure_ascii=False)}",
            "",
            "[plugin.files]",
            *_pairs(pinned.files),
        ]
    return "\n".join(lines) + "\n"


def differences(approved: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return what was changed, added or taken away, the first few of each by name."""
    changed = [name for name in approved if name in found and found[name] != approved[name]]
    added = [name for name in found if name not in approved]
    missing = [name for name in approved if name not in found]
    said = []
    for names, what in ((changed, "changed"), (added, "added"), (missing, "missing")):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            said.append(f"{', '.join(names[:SHOWN])}{more} {what} since it was approved")
    return said


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the sha256 of each file that is there."""
    return {
        name: sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if path.is_file()
    }


def startup_files() -> dict[str, Path]:
    """Return what Python runs at its start in this environment."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if site.ENABLE_USER_SITE:
        folders.add(site.getusersitepackages())
    found = {}
    for folder in sorted(folder for folder in folders if folder):
        for path in sorted(Path(folder).glob("*.pth")):
            found[path.name] = path
    for folder in sys.path:
        for name in _STARTUP_NAMES:
            if folder and name not in found and Path(folder, name).is_file():
                found[name] = Path(folder, name)
    return found


def _own(entries: Sequence[EntryPoint], entry: EntryPoint) -> list[EntryPoint]:
    name = _name(entry.dist)
    return [each for each in entries if _name(each.dist) == name]


def _name(distribution: Distribution | None) -> str:
    return "" if distribution is None else distribution.name


def _pinned(table: Mapping[str, Any]) -> Pinned:
    files = {str(name): str(value) for name, value in table["files"].items()}
    return Pinned(table["distribution"], table["version"], files, table.get("approved_by", ""))


def _pairs(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{json.dumps(name)} = {json.dumps(value)}"


class _ApprovedFinder:
    """Finds modules of approved distributions, and has them compiled from source that is hashed as it is read."""

    def __init__(self, tops: frozenset[str], hashed: Mapping[Path, str]) -> None:
        self._tops = tops
        self._hashed = hashed

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module of an approved package; None leaves it to the others."""
        if name.partition(".")[0] not in self._tops:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader and spec.origin is not None:
            wanted = self._hashed.get(Path(spec.origin).resolve(), "")
            spec.loader = _ApprovedLoader(name, spec.origin, wanted)
        return spec


class _ApprovedLoader(SourceFileLoader):
    """Compiles a module from its source, never from bytecode, when the source is the approved one."""

    def __init__(self, name: str, path: str, wanted: str) -> None:
        super().__init__(name, path)
        self._wanted = wanted

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the module.

        Raises:
            ImportError: The file is not as it was approved.
        """
        file = self.get_filename(fullname)
        source = self.get_data(file)
        if sha256(source).hexdigest() != self._wanted:
            raise ImportError(
                f"{file} is not as it was approved; {_MEND}", name=fullname, path=file
            )
        code: CodeType = self.source_to_code(source, file)
        return code
