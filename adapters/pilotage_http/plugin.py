"""The hook of the HTTP adapter; imports no protocol library until a connection is opened."""

from __future__ import annotations

from pilotage.adapter import Adapter, AdapterFactory, ConnectionSettings, Door, Site
from pilotage.hookspecs import hookimpl
from pilotage.model.diagnostics import Finding

PILOTAGE_INTERFACE = "1"


class HttpFactory:
    """Makes connections of `adapter: http`."""

    name = "http"

    def check(self, settings: ConnectionSettings, site: Site) -> list[Finding]:
        """Return everything that is wrong with the settings, without connecting."""
        from pilotage_http.binding import bind

        return bind(settings, site)[1]

    def open(self, settings: ConnectionSettings, site: Site, door: Door) -> Adapter:
        """Return a connection for checked settings; it does not connect yet.

        Raises:
            RuleError: The settings have errors.
        """
        from pilotage_http.connection import open_connection

        return open_connection(settings, site, door)


@hookimpl
def pilotage_adapters() -> list[AdapterFactory]:
    """Return the factory of `adapter: http`."""
    return [HttpFactory()]
