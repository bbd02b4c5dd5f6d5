"""What of the settings this machine cannot do: folders that cannot be written, a socket's path that is too long, ports in use.

Changes nothing: a folder that is missing is made by the engine, and only has to be possible.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pilotage.language.loader import Node
from pilotage.model.diagnostics import Finding, Severity, Span
from pilotage.runtime import findings as site
from pilotage.runtime.config import Settings, SettingsRead
from pilotage.runtime.ownership import THE_CITY, is_held

LONGEST_SOCKET: Final = 107
"""Bytes of a local socket's path, without the closing zero (unix(7): sun_path has 108)."""
LEAST_FREE: Final = 16 * 10**6


def check_start(read: SettingsRead) -> list[Finding]:
    """Return what would keep the engine from starting on this machine; to be asked before anything is opened."""
    settings = read.settings
    if settings is None:
        return []
    storage = settings.storage.path
    found = [
        *_folder(_at(read, "storage.path"), "storage.path", storage),
        *_socket_path(_at(read, "control.socket"), settings.control.socket),
    ]
    if settings.control.socket.parent != storage:
        found += _folder(
            _at(read, "control.socket"), "control.socket", settings.control.socket.parent
        )
    if settings.audit.anchor_folder is not None:
        at = _at(read, "audit.anchor_folder")
        # The city is piloted without it, and the audit tells what it misses.
        found += [
            replace(finding, severity=Severity.WARNING)
            for finding in _folder(at, "audit.anchor_folder", settings.audit.anchor_folder)
        ]
    return found


def check_machine(read: SettingsRead) -> list[Finding]:
    """Return everything about this machine that `pilotage config check` says: the start, room on the disk, ports in use."""
    settings = read.settings
    if settings is None:
        return []
    found = check_start(read)
    found += _room(_at(read, "storage.path"), settings)
    if not is_held(settings.storage.path, THE_CITY):  # else it is the engine itself that listens
        found += _ports(settings)
        found += check_address(
            _at(read, "metrics.listen"), settings.metrics.host, settings.metrics.port
        )
        if settings.web is not None:
            found += check_address(_at(read, "web.listen"), settings.web.host, settings.web.port)
    return found


def _at(read: SettingsRead, key: str) -> Span:
    """Return where a setting is written; the file's first character when it is not."""
    node: Node | None = read.written.get(key)
    if node is not None:
        return node.at
    return Span(str(read.file), 1, 1)


def _folder(at: Span, key: str, folder: Path) -> Iterator[Finding]:
    """Yield why a folder cannot be written, or made."""
    there = _nearest(folder)
    if not there.is_dir():
        yield site.no_folder(at, key, str(there))
    elif _is_read_only(there):
        yield site.folder_read_only(at, key, str(there))
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        yield site.folder_closed(at, key, str(there), there == folder)


def _nearest(path: Path) -> Path:
    """Return the path itself, or what there is of it."""
    for each in (path, *path.parents):
        if each.exists():
            return each
    return Path("/")


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _socket_path(at: Span, path: Path) -> Iterator[Finding]:
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET:
        yield site.socket_path_too_long(at, str(path), length, LONGEST_SOCKET)


def _room(at: Span, settings: Settings) -> Iterator[Finding]:
    """Yield that there is less room than the engine needs for a good beginning."""
    there = _nearest(settings.storage.path)
    found = os.statvfs(there)
    free, wanted = found.f_bavail * found.f_frsize, settings.storage.ballast_bytes + LEAST_FREE
    if free < wanted:
        yield site.little_room(at, str(there), free, wanted)


# ── ports ────────────────────────────────────────────────────────────────────────────────────


def _ports(settings: Settings) -> Iterator[Finding]:
    """Yield the addresses of connections that listen which cannot be had."""
    for connection in settings.connections:
        listen = connection.options.get("listen")
        if isinstance(listen, Mapping):
            at = settings.places[connection.name]
            yield from check_address(at, str(listen.get("host", "127.0.0.1")), listen.get("port"))


def check_address(at: Span, host: str, port: Any) -> Iterator[Finding]:
    """Yield why nobody can listen at an address now; a port that is no number is somebody else's finding."""
    if not isinstance(port, int) or not 0 < port < 65_536:
        return
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        yield _refused(at, host, port, error)


def _refused(at: Span, host: str, port: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        return site.port_in_use(at, host, port)
    if error.errno in (errno.EACCES, errno.EPERM):
        return site.port_closed(at, host, port)
    return site.no_such_address(at, host, port, error.strerror or str(error))
