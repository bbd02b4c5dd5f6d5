"""Isolated adapters in the catalogue of plugins: what opens and checks them, and which plugins the engine does not import."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import cast

from pilotage.adapter import ISOLATED, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.adapter.options import span_of
from pilotage.model.diagnostics import Finding
from pilotage.runtime import findings as say
from pilotage.runtime.config import Settings
from pilotage.runtime.inbox import ConnectionDoor
from pilotage.runtime.isolation import probe
from pilotage.runtime.isolation.host import NO_TARGETS, IsolatedAdapter, Targets
from pilotage.runtime.plugins import (
    Approval,
    Catalogue,
    Outside,
    PluginReport,
    PluginState,
    installed_plugins,
    load_plugins,
)


class IsolatedFactory:
    """Opens the connections of an adapter whose plugin runs in processes of its own (`pilotage.adapter.AdapterFactory`)."""

    def __init__(self, entry: str, name: str, lock: str = "", why: str = "") -> None:
        """Make a factory.

        Args:
            entry: Name of the plugin's entry point.
            name: Of the adapter.
            lock: File with the plugins that may be imported; empty when all may.
            why: What is wrong with the plugin, when that is known already.
        """
        self.name = name
        self._entry = entry
        self._lock = lock
        self._why = why
        self._targets: dict[str, tuple[ConnectionSettings, Targets]] = {}

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Return what is wrong with the settings; that the plugin fails keeps the engine from nothing."""
        at = span_of(settings)
        if self._why:
            return [say.isolated_failed(at, self.name, self._why)]
        reply = probe.check(self._entry, settings, site, self._lock)
        if reply.why:
            return [say.isolated_failed(at, self.name, reply.why)]
        self._targets[settings.name] = (settings, (reply.points, reply.calls))
        others = _others(reply.brings)
        return [
            *([say.partly_isolated(at, self._entry, others)] if others else []),
            *reply.findings,
        ]

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> IsolatedAdapter:
        """Return an adapter that starts its process when it is run; the door is the engine's own."""
        checked, targets = self._targets.get(settings.name, (None, NO_TARGETS))
        return IsolatedAdapter(
            settings,
            self._entry,
            site,
            cast(ConnectionDoor, door),
            self._lock,
            targets if checked == settings else NO_TARGETS,
        )


class _DomainPlugin:
    """Stands for a plugin without an adapter, and says why it cannot be isolated."""

    def __init__(self, report: PluginReport) -> None:
        self.name = report.name
        self._brings = _others(report.brings) or "nothing"

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Return that error."""
        return [say.domain_isolated(span_of(settings), self.name, self._brings)]

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> IsolatedAdapter:
        """Open nothing: the check has refused it."""
        raise NotImplementedError(self.name)


def load_catalogue(settings: Settings) -> Catalogue:
    """Return what the plugins of a site bring; those that only its isolated connections use are not imported here."""
    loaded = load_plugins(disable=settings.disabled, lock=settings.lock, outside=_outside(settings))
    return with_isolated(loaded, _lock(settings))


def with_isolated(catalogue: Catalogue, lock: str = "") -> Catalogue:
    """Return a catalogue in which every adapter of an installed plugin can be isolated too."""
    installed = {entry.name for entry in installed_plugins()}
    adapters: dict[str, AdapterFactory] = dict(catalogue.adapters)
    for report in catalogue.plugins:
        if report.state is PluginState.LOADED and "adapters" not in report.brings:
            adapters[report.name + ISOLATED] = _DomainPlugin(report)
    for name in catalogue.adapters:
        entry = catalogue.origins.get(f"adapter {name}")
        if entry in installed and not name.endswith(ISOLATED):
            adapters[name + ISOLATED] = IsolatedFactory(entry, name, lock)
    return replace(catalogue, adapters=MappingProxyType(adapters))


def _outside(settings: Settings) -> Outside:
    """Ask each plugin whose name is that of an adapter which is only used isolated; leave outside what brings nothing else."""
    inside = {c.adapter for c in settings.connections if not c.isolate}
    isolated = {c.adapter for c in settings.connections if c.isolate} - inside
    if not isolated:
        return {}
    installed, lock = installed_plugins(), _lock(settings)
    approval = Approval(settings.lock, installed)
    entries = [
        entry
        for entry in installed
        if entry.name in isolated
        and entry.name not in settings.disabled
        and not approval.refusal(entry)  # not even elsewhere
    ]
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda entry: probe.brings(entry.name, lock), entries))
    return {
        entry.name: _left_outside(entry, reply, lock)
        for entry, reply in zip(entries, replies, strict=True)
        if reply.why or not _others(reply.brings)
    }


def _left_outside(
    entry: EntryPoint, reply: probe.Reply, lock: str
) -> tuple[PluginReport, list[tuple[str, AdapterFactory]]]:
    version = entry.dist.version if entry.dist is not None else ""
    report = PluginReport(entry.name, version, PluginState.ISOLATED, reply.why, reply.brings)
    names = reply.adapters or [entry.name]
    return report, [
        (name + ISOLATED, IsolatedFactory(entry.name, name, lock, reply.why)) for name in names
    ]


def _lock(settings: Settings) -> str:
    return "" if settings.lock is None else str(settings.lock.absolute())


def _others(brings: Mapping[str, int]) -> str:
    """Return what a plugin brings beside adapters: `3 kinds, 1 functions`."""
    return ", ".join(f"{count} {what}" for what, count in brings.items() if what != "adapters")
