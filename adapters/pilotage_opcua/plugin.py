"""The hook of the OPC UA adapter; imports no protocol library until a connection is opened."""

from __future__ import annotations

from collections.abc import Mapping

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.adapter.discovery import Discovery, EmptySite, bare
from pilotage.hookspecs import hookimpl
from pilotage.model.diagnostics import Finding, RuleError
from pilotage.model.entities import Kind

PILOTAGE_INTERFACE = "1"


class OpcUaFactory:
    """Makes connections of `adapter: opcua`."""

    name = "opcua"

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Return everything that is wrong with the settings, without connecting."""
        from pilotage_opcua.binding import bind

        return bind(settings, site)[1]

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        """Return a connection for checked settings; it does not connect yet.

        Raises:
            RuleError: The settings have errors.
        """
        from pilotage_opcua.connection import open_connection

        return open_connection(settings, site, door)

    async def discover(
        self, settings: ConnectionSettings, kinds: Mapping[str, Kind], seconds: float
    ) -> Discovery:
        """Return what the server shows below its Objects folder; nothing is written or called.

        Raises:
            ConnectionError: The server cannot be reached.
            RuleError: The settings have errors.
        """
        from pilotage_opcua.binding import bind
        from pilotage_opcua.looking import look, propose

        plan, findings = bind(bare(settings), EmptySite())
        if any(finding.is_error for finding in findings):
            raise RuleError(findings)
        return propose(await look(plan.server, seconds), kinds)


@hookimpl
def pilotage_adapters() -> list[AdapterFactory]:
    """Return the factory of `adapter: opcua`."""
    return [OpcUaFactory()]
