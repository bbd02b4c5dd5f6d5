"""Brings a backup back: verified first, put in place by one rename, and what was there before is kept beside it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pilotage.runtime.backup import BackupError, Manifest, Progress, is_left_out, unpack
from pilotage.runtime.durable import sync_file, sync_folder
from pilotage.runtime.ownership import THE_CITY, FileOwnership
from pilotage.runtime.verification import verify_backup

_OWNER: Final = ".owner"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done.

    Attributes:
        manifest: Of the backup.
        before: Where the folder of before is now, None when there was none or nothing in it.
    """

    manifest: Manifest
    before: Path | None


def restore(backup: Path, storage: Path, progress: Progress, *, force: bool = False) -> Restored:
    """Put a backup in the place of the storage folder.

    Args:
        backup: The folder or `.tar` file that `make_backup` made.
        storage: The folder; its engine must not run.
        progress: Told of the work.
        force: Also when the folder is not empty; what is in it is kept beside it.

    Raises:
        BackupError: It is no backup, is damaged, or the folder is not empty.
        OwnedElsewhereError: An engine runs on this storage.
        OSError: The disk refuses; the folder is as it was.
    """
    is_empty = not storage.exists() or all(is_left_out(path.name) for path in storage.iterdir())
    if not is_empty and not force:
        raise BackupError(
            f"{storage}: the folder is not empty\n   mend: `--force` restores all the same; what is there is kept"
            " beside it"
        )
    staging = storage.with_name(f".{storage.name}.restoring")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True, mode=0o700)
    try:
        with _owned(storage):
            manifest = _stage(backup, staging, progress)
            for owner in storage.glob(f"*{_OWNER}"):  # epochs go on where they are
                shutil.copyfile(owner, staging / owner.name)
            with _owned(staging):
                return Restored(manifest, _exchange(storage, staging, keep=not is_empty))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stage(backup: Path, staging: Path, progress: Progress) -> Manifest:
    """Unpack a backup beside its place, verify it, and have it on the disk."""
    manifest = unpack(backup, staging, progress)
    problems = [
        f"{checked.name}: {problem}"
        for checked in verify_backup(staging, manifest, progress)
        for problem in checked.problems
    ]
    if problems:
        raise BackupError(
            f"{backup}: the backup is damaged: {'; '.join(problems)}\n"
            "   mend: take another one; `pilotage verify` shows which are whole"
        )
    for path in staging.rglob("*"):
        sync_folder(path) if path.is_dir() else sync_file(path)
    sync_folder(staging)
    return manifest


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Own every partition of a folder for a while, so that no engine runs on it, or starts."""
    if not folder.exists():
        yield
        return
    partitions = {THE_CITY, *(path.stem for path in folder.glob(f"*{_OWNER}"))}
    owner = FileOwnership(folder)
    try:
        for partition in sorted(partitions):
            owner.acquire(partition)
        yield
    finally:
        for partition in partitions:
            owner.release(partition)


def _exchange(storage: Path, staging: Path, *, keep: bool) -> Path | None:
    """Move the folder of before away and the new one into its place; returns where the old one is."""
    before: Path | None = None
    if storage.exists():
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        before = storage.with_name(f"{storage.name}.before-{stamp}")
        try:
            storage.rename(before)
        except OSError as error:
            raise BackupError(
                f"{storage}: the folder cannot be exchanged: {error.strerror}\n"
                "   mend: when it is a mount point, let storage.path name a folder inside it"
            ) from error
    try:
        staging.rename(storage)
    except OSError:
        if before is not None:
            before.rename(storage)
        raise
    sync_folder(storage.parent)
    if before is not None and not keep:
        shutil.rmtree(before, ignore_errors=True)
        return None
    return before
