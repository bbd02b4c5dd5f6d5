"""The hooks that plugins implement: called at start-up, reload and stop, never on the path of a value."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pluggy

from pilotage.adapter import AdapterFactory
from pilotage.model.entities import CallSpec, Function, Kind

INTERFACE: Final = "1"
"""The interface that this engine offers; what a plugin writes as `PILOTAGE_INTERFACE` beside its hooks."""

SUPPORTED_INTERFACES: Final = ("1",)
"""The interfaces whose plugins this engine loads."""

INTERFACE_NAME: Final = "PILOTAGE_INTERFACE"

hookspec = pluggy.HookspecMarker("pilotage")
hookimpl = pluggy.HookimplMarker("pilotage")


class Hooks:
    """All hooks; a plugin implements those it needs."""

    @hookspec
    def pilotage_kinds(self) -> list[Kind]:  # type: ignore[empty-body]
        """Return the kinds of equipment, place or vehicle that the plugin declares."""

    @hookspec
    def pilotage_functions(self) -> list[Function]:  # type: ignore[empty-body]
        """Return the typed functions that the plugin adds to the rule language."""

    @hookspec
    def pilotage_calls(self) -> list[CallSpec]:  # type: ignore[empty-body]
        """Return what a `do` step may ask of the plugin's service."""

    @hookspec
    def pilotage_rules(self) -> list[Path]:  # type: ignore[empty-body]
        """Return the files of the plugin's ready rule pack."""

    @hookspec
    def pilotage_adapters(self) -> list[AdapterFactory]:  # type: ignore[empty-body]
        """Return the device protocols that the plugin speaks."""
