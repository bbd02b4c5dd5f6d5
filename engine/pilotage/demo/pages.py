"""The pages of the demo: where they are, and a link that signs in once.

The engine starts them; we choose their port and the secret of the link, and hand both on in the environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pilotage.demo.child import HOST, free_port

PORT: Final = 8080
LISTEN_VARIABLE: Final = "PILOTAGE_WEB_LISTEN"
ENTER_VARIABLE: Final = "PILOTAGE_WEB_ENTER"


@dataclass(frozen=True, slots=True)
class Pages:
    """Where the pages of a demo are, and the secret of its link."""

    place: str
    secret: str

    @classmethod
    def choose(cls, environ: Mapping[str, str] = os.environ) -> Pages:
        """Return the usual place, a free one when that is taken, or what the environment says."""
        given = environ.get(LISTEN_VARIABLE, "")
        port = PORT if _is_free(PORT) else free_port()
        return cls(given or f"{HOST}:{port}", secrets.token_urlsafe(18))

    @property
    def url(self) -> str:
        """Their address."""
        return f"http://{self.place}"

    @property
    def link(self) -> str:
        """The address that signs in, once."""
        return f"{self.url}/sign-in/link/{self.secret}"

    @property
    def environment(self) -> dict[str, str]:
        """What the engine's process is told."""
        return {LISTEN_VARIABLE: self.place, ENTER_VARIABLE: self.secret}


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return True
    return False
