"""What a server's process runs: light, so that the tests themselves need not make the standard nodes."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any


def serve(settings: dict[str, Any], pipe: Connection) -> None:
    """Be a server until the pipe is closed or the process is killed."""
    from tests.adapters.pilotage_opcua import plc

    plc.serve(settings, pipe)
