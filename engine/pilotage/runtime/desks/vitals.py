"""Answers what the engine stands on: looked up in another thread, since a disk may be slow."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from pilotage import api
from pilotage.ports import LogUnusableError
from pilotage.runtime.audit.store import AUDIT_FILE
from pilotage.runtime.backup import LAST_BACKUP
from pilotage.runtime.desks.why import in_thread
from pilotage.runtime.doctor import certificate_ends
from pilotage.runtime.history.file import bytes_on_disk
from pilotage.runtime.journal import JournalReader
from pilotage.runtime.ownership import THE_CITY


class StandingService(Protocol):
    """The service as this desk sees it."""

    @property
    def settings(self) -> Any:
        """What `config.yaml` says (`pilotage.runtime.config.Settings`)."""
        ...

    @property
    def plan(self) -> Any:
        """What was read and compiled last (`pilotage.runtime.workshop.CityPlan`)."""
        ...

    @property
    def snapshot_folder(self) -> Path:
        """Where the snapshots are."""
        ...

    @property
    def journal_file(self) -> Path:
        """Where the journal is."""
        ...

    def journal_reader(self) -> JournalReader:
        """Return a reader of the journal; called in another thread."""
        ...


class VitalsDesk:
    """The question of `pilotage.api.vitals`."""

    def __init__(self, service: StandingService) -> None:
        self._service = service
        self.answers: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            api.GetVitals: self._vitals
        }

    async def _vitals(self, _: api.GetVitals) -> api.Vitals:
        plugins = [
            api.PluginShown(name=p.name, version=p.version, state=p.state.value, why=p.why)
            for p in self._service.plan.catalogue.plugins
        ]
        return await in_thread(lambda: self._looked_up(plugins))

    def _looked_up(self, plugins: list[api.PluginShown]) -> api.Vitals:
        storage: Path = self._service.settings.storage.path
        disk, now = shutil.disk_usage(storage), time.time()
        snapshots = self._service.snapshot_folder.glob("[!.]*")
        return api.Vitals(
            wall=now,
            disk_free=disk.free,
            disk_total=disk.total,
            journal_bytes=bytes_on_disk(self._service.journal_file),
            audit_bytes=bytes_on_disk(storage / AUDIT_FILE),
            memory_bytes=_resident(),
            oldest_decision=self._oldest(),
            snapshot_age_s=min((now - file.stat().st_mtime for file in snapshots), default=None),
            backup_age_s=_age(storage / LAST_BACKUP, now),
            plugins=plugins,
            certificates=[
                api.CertificateShown(file=file.name, ends=ends)
                for file, ends in certificate_ends(self._service.settings)
            ],
        )

    def _oldest(self) -> float | None:
        try:
            oldest = self._service.journal_reader().oldest(THE_CITY)
        except LogUnusableError:
            return None
        return None if oldest is None else oldest[1]


def _age(file: Path, now: float) -> float | None:
    try:
        return max(0.0, now - file.stat().st_mtime)
    except OSError:
        return None


def _resident() -> int | None:
    """Return the memory of this process, None where the system has no /proc."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
