"""What a city was read from: its files and what they held, so that a start can tell that nothing has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path


def origins_of(paths: Iterable[Path]) -> dict[str, str]:
    """Return a digest of each file, and of each folder and every file in it, by path."""
    found: dict[str, str] = {}
    for path in paths:
        found[str(path)] = digest_of(path)
        if path.is_dir():
            found.update((str(file), digest_of(file)) for file in _files(path))
    return found


def are_unchanged(origins: Mapping[str, str]) -> bool:
    """Return whether every file and folder is as it was; False when nothing is known of any."""
    return bool(origins) and all(digest_of(Path(p)) == was for p, was in origins.items())


def digest_of(path: Path) -> str:
    """Return a digest of what a file holds, or of the names in a folder; empty when there is none."""
    try:
        if path.is_dir():
            names = "\0".join(str(file.relative_to(path)) for file in _files(path))
            return sha256(names.encode()).hexdigest()
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
