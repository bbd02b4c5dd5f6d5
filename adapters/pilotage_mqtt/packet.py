"""What stands beside the payload of a message in MQTT 5: user properties, and the correlation of an answer.

One message is read at a time, so the properties of that one are kept here while it is.
"""

from __future__ import annotations

from typing import Any, Final

from pilotage.adapter.payload_binding import Elsewhere
from pilotage.adapter.payloads import Garbage


class Packet:
    """The properties of the message that is being read."""

    def __init__(self) -> None:
        self._user: dict[str, str] = {}
        self._correlation = b""
        self.correlation: Final = Elsewhere(self._call)

    def open(self, properties: Any) -> None:
        """Keep what a message brings; None for MQTT 3.1.1. Of two properties with one name the last counts."""
        self._user = dict(getattr(properties, "UserProperty", None) or ())
        self._correlation = bytes(getattr(properties, "CorrelationData", b"") or b"")

    def path(self, name: str) -> Elsewhere:
        """Return what finds a user property."""

        def find(_document: Any) -> Any:
            if name not in self._user:
                raise Garbage(f'no user property "{name[:40]}"')
            return self._user[name]

        return Elsewhere(find)

    def _call(self, _document: Any) -> str:
        if not self._correlation:
            raise Garbage("no correlation data: nobody knows which call it answers")
        return self._correlation.decode("utf-8", "replace")
