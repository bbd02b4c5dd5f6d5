"""The systemd unit of one machine, made of its settings: what they name may be read or written, and nothing else.

Writes nothing itself. Sources: systemd.unit(5), systemd.service(5), systemd.exec(5) of systemd 252.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.config import Settings

UNIT: Final = "pilotage.service"
STATE: Final = Path("/var/lib")
RUN: Final = Path("/run")
HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
LAST_PRIVILEGED_PORT: Final = 1_023

_HEAD: Final = """\
# Written by `pilotage service install`; write it anew after a change of paths, secrets or serial lines in config.yaml.
# What you want otherwise belongs into a drop-in: `systemctl edit {unit}`.
[Unit]
Description=Rules engine of {name}
After={after}
"""

_LIFE: Final = """\
[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run -c {config}
# Refuses, with the findings, what has a mistake; the old rules go on.
ExecReload={program} reload -c {config}
WorkingDirectory={folder}
# The engine ends itself when it is stuck for engine.stuck_after; this is for the case that it cannot even do that.
WatchdogSec=10s
TimeoutStartSec=5min
TimeoutStopSec=20s
# One signal to the engine, which ends its own processes in order.
KillMode=mixed
Restart=always
RestartSec=1s
SyslogIdentifier=pilotage
LimitNOFILE=65536
TasksMax=512
UMask=0077
"""

# What a user's own service manager can enforce too: all that needs no file system of its own.
_CLOSED: Final = """\
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
KeyringMode=private
"""

_CLOSED_SYSTEM: Final = """\
ProtectSystem=strict
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
OOMScoreAdjust=-500
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service runs.

    Attributes:
        program: The `pilotage` command.
        user: Who runs it; empty for a unit of one's own service manager (`systemctl --user`).
        credentials: Secrets that systemd hands over, by name.
    """

    program: Path
    user: str
    credentials: Mapping[str, Path]


def unit_text(settings: Settings, place: Place) -> str:
    """Return the unit."""
    sections = (_head(settings, place), _service(settings, place), _install(place))
    return "\n".join(sections)


def _head(settings: Settings, place: Place) -> str:
    # A user's manager knows neither the network nor the clock of the system.
    after = "network-online.target time-sync.target" if place.user else "default.target"
    head = _HEAD.format(unit=UNIT, name=_plain(settings.site.name), after=after)
    if place.user:
        head += "Wants=network-online.target\n"
    return (
        head
        + "# A city is never given up: however often the engine fails, it is started again.\nStartLimitIntervalSec=0\n"
    )


def _service(settings: Settings, place: Place) -> str:
    lines = [
        _LIFE.format(
            program=_word(place.program),
            config=_word(settings.file),
            folder=_path(settings.folder),
        ).rstrip("\n")
    ]
    if place.user:
        lines += [f"User={place.user}", f"Group={place.user}"]
    lines += _folders(settings, place)
    lines += [f"LoadCredential={name}:{path}" for name, path in sorted(place.credentials.items())]
    lines += _devices(settings, place)
    lines += _capabilities(settings, place)
    lines += _homes(settings, place)
    lines.append(_CLOSED.rstrip("\n"))
    if place.user:
        lines.append(_CLOSED_SYSTEM.rstrip("\n"))
    return "\n".join(lines) + "\n"


def _install(place: Place) -> str:
    return f"[Install]\nWantedBy={'multi-user.target' if place.user else 'default.target'}\n"


# ── what may be written ──────────────────────────────────────────────────────────────────────


def _folders(settings: Settings, place: Place) -> Iterator[str]:
    """Yield the folders that the engine writes; those below /var/lib and /run are made by systemd, with their owner."""
    wanted = [settings.storage.path, settings.control.socket.parent]
    if settings.audit.anchor_folder is not None:
        wanted.append(settings.audit.anchor_folder)
    folders = sorted({path.absolute() for path in wanted})
    for folder in folders:
        if any(other in folder.parents for other in folders):
            continue
        if not place.user:
            continue
        if STATE in folder.parents:
            yield f"StateDirectory={_path(folder.relative_to(STATE))}"
            yield "StateDirectoryMode=0700"
        elif RUN in folder.parents:
            yield f"RuntimeDirectory={_path(folder.relative_to(RUN))}"
            yield f"RuntimeDirectoryMode={'0750' if settings.control.mode & 0o060 else '0700'}"
        else:
            # Without the dash a folder that is missing keeps the service from starting, with a message about namespaces.
            yield f"ReadWritePaths=-{_path(folder)}"


def _devices(settings: Settings, place: Place) -> Iterator[str]:
    """Yield which devices there are: none, or the serial lines that a connection names."""
    lines = sorted(_serial_lines(settings))
    if not place.user:
        return
    if not lines:
        yield "PrivateDevices=yes"
        return
    yield "DevicePolicy=closed"
    yield from (f"DeviceAllow={line} rw" for line in lines)
    yield "SupplementaryGroups=dialout"


def _serial_lines(settings: Settings) -> Iterator[str]:
    for connection in settings.connections:
        serial = connection.options.get("serial")
        if isinstance(serial, Mapping) and isinstance(serial.get("port"), str):
            yield serial["port"]


def _capabilities(settings: Settings, place: Place) -> Iterator[str]:
    """Yield which powers of root are left: none, or that of a port below 1024."""
    if not place.user:
        return
    low = any(port <= LAST_PRIVILEGED_PORT for port in _ports(settings))
    right = "CAP_NET_BIND_SERVICE" if low else ""
    yield f"CapabilityBoundingSet={right}"
    yield f"AmbientCapabilities={right}"


def _ports(settings: Settings) -> Iterator[int]:
    if settings.metrics.host:
        yield settings.metrics.port
    if settings.web is not None:
        yield settings.web.port
    for connection in settings.connections:
        listen: Any = connection.options.get("listen")
        port = listen.get("port") if isinstance(listen, Mapping) else None
        if isinstance(port, int):
            yield port


def _homes(settings: Settings, place: Place) -> Iterator[str]:
    """Yield what is seen of people's homes: nothing, or to read where program or settings lie in one."""
    if not place.user:
        return
    paths = (settings.file, place.program, settings.storage.path)
    inside = any(home in path.absolute().parents for home in HOMES for path in paths)
    yield f"ProtectHome={'read-only' if inside else 'yes'}"


# ── how texts are written ────────────────────────────────────────────────────────────────────


def _plain(text: str) -> str:
    """Return a text for a line of its own: systemd's specifiers begin with %."""
    return " ".join(text.split()).replace("%", "%%")


def _path(path: Path) -> str:
    return str(path).replace("%", "%%").replace(" ", "\\x20")


def _word(path: Path) -> str:
    """Return a path as one word of a command line."""
    text = str(path).replace("%", "%%").replace("$", "$$").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if any(sign in text for sign in " \t;'\"\\") else text
