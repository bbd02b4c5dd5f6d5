"""What the address of a host tells before anything is sent to it."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether only this machine can be reached by, or can reach, an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
