"""What a machine and a site should be like for the engine to keep its promises, looked at one by one, each with its mend.

Changes nothing but a small file of its own in the storage folder, which it deletes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import shutil
import ssl
import stat
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pilotage.runtime.backup import JOURNAL_FILE
from pilotage.runtime.clock import UNKEPT, clock_state
from pilotage.runtime.config import Settings

GOOD: Final = "good"
DOUBT: Final = "doubt"
BAD: Final = "bad"

LEAST_FREE: Final = 1_000_000_000
SLOW_SYNC_S: Final = 0.05
SYNCS: Final = 5
SOON_DAYS: Final = 30
LEAST_FILES: Final = 4_096
AHEAD_S: Final = 60.0
LEAST_SQLITE: Final = (3, 51, 3)
LEAST_OPENSSL: Final = (3, 0)
REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}
)
VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
BROKER_FILE: Final = Path("/etc/mosquitto/mosquitto.conf")

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.S)


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at.

    Attributes:
        topic: What.
        state: good, doubt or bad.
        text: What was found.
        mend: What to do; empty when it is good.
    """

    topic: str
    state: str
    text: str
    mend: str = ""


def examine(settings: Settings, broker_file: Path = BROKER_FILE) -> Iterator[Check]:
    """Yield everything that was looked at, in order.

    Args:
        settings: Of the site.
        broker_file: The settings of a Mosquitto on this machine; left out when there is none.
    """
    yield from check_versions()
    yield from check_disk(settings.storage.path, settings.storage.ballast_bytes)
    yield from check_data(settings.storage.path)
    yield from check_rights(settings)
    yield from check_clock(settings.storage.path)
    yield from check_certificates(settings)
    yield from check_broker(broker_file)
    yield from check_machine(settings)


# ── versions ─────────────────────────────────────────────────────────────────────────────────


def check_versions() -> Iterator[Check]:
    """Look at what the engine stands on."""
    from pilotage.runtime.journal.schema import sqlite

    yield Check("Python", GOOD, platform.python_version())
    found = tuple(int(part) for part in sqlite.sqlite_version.split("."))
    if found < LEAST_SQLITE:
        mend = "pip install pysqlite3"
        yield Check("SQLite", BAD, f"{sqlite.sqlite_version} can corrupt a journal", mend)
    else:
        yield Check("SQLite", GOOD, sqlite.sqlite_version)
    if ssl.OPENSSL_VERSION_INFO[:2] < LEAST_OPENSSL:
        mend = "run a Python that was built with OpenSSL 3"
        yield Check("TLS", BAD, f"{ssl.OPENSSL_VERSION} is out of support", mend)
    else:
        yield Check("TLS", GOOD, ssl.OPENSSL_VERSION)


def check_data(storage: Path) -> Iterator[Check]:
    """Look whether this engine reads what was written; nothing is yielded for a file that is not there yet."""
    from pilotage.runtime import journal
    from pilotage.runtime.audit import store
    from pilotage.runtime.history import file as history

    known = (
        (JOURNAL_FILE, journal.SCHEMA_VERSION),
        (store.AUDIT_FILE, store.SCHEMA_VERSION),
        (history.HISTORY_FILE, history.SCHEMA_VERSION),
    )
    for name, newest in known:
        path = storage / name
        if path.is_file():
            yield _data(path, newest)


def _data(path: Path, newest: int) -> Check:
    from pilotage.runtime.journal import sqlite

    try:
        with contextlib.closing(
            sqlite.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite.Error as error:
        mend = "look at it as the engine's user, with `pilotage verify`"
        return Check("data", BAD, f"{path.name} cannot be read: {error}", mend)
    if found > newest:
        text = f"{path.name} has version {found}, and this engine knows versions up to {newest}"
        return Check("data", BAD, text, "run the version of pilotage that wrote it, or a newer one")
    if found < newest:
        text = f"{path.name} has version {found}; the next start makes it version {newest}"
        return Check("data", DOUBT, text, "make a backup before: `pilotage backup`")
    return Check("data", GOOD, f"{path.name} has version {found}")


# ── the disk ─────────────────────────────────────────────────────────────────────────────────


def check_disk(storage: Path, ballast: int) -> Iterator[Check]:
    """Look at the room, the kind and the honesty of the disk of the storage folder."""
    folder = _nearest(storage)
    free = shutil.disk_usage(folder).free
    wanted = max(LEAST_FREE, 2 * ballast)
    if free < wanted:
        mend = "free space, or move storage.path to a larger disk"
        state = BAD if free < ballast else DOUBT
        yield Check("room", state, f"{_bytes(free)} are free where {storage} is", mend)
    else:
        yield Check("room", GOOD, f"{_bytes(free)} are free where {storage} is")
    yield _kind_of_disk(storage, filesystem(folder, _mounts()))
    if storage.is_dir() and os.access(storage, os.W_OK):
        yield _honesty(storage, sync_time)


def filesystem(folder: Path, mounts: Iterable[tuple[str, str]]) -> str:
    """Return the type of the file system that a folder is on.

    Args:
        folder: That is there.
        mounts: Pairs of a mount point and its type.
    """
    here, found = folder.resolve(), ("", "")
    for point, kind in mounts:
        if here.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _kind_of_disk(storage: Path, kind: str) -> Check:
    if kind in REMOTE:
        mend = "put storage.path on a local disk; copy backups to the share"
        text = f"{storage} is on a network share ({kind}), where fsync and locks mean little"
        return Check("disk", BAD, text, mend)
    if kind in VOLATILE:
        mend = "put storage.path on a disk"
        return Check("disk", BAD, f"{storage} is in memory ({kind}): a power cut takes it", mend)
    return Check("disk", GOOD, f"{storage} is on {kind or 'a file system of unknown type'}")


def sync_time(folder: Path) -> float:
    """Return how long it takes to have 4 kB on disk, in seconds; the middle one of five."""
    file = folder / f".doctor-{os.getpid()}"
    took = []
    try:
        with file.open("wb", buffering=0) as writing:
            for _ in range(SYNCS):
                began = time.perf_counter()
                writing.write(b"\0" * 4_096)
                os.fsync(writing.fileno())
                took.append(time.perf_counter() - began)
    finally:
        file.unlink(missing_ok=True)
    return statistics.median(took)


def _honesty(storage: Path, measure: Callable[[Path], float]) -> Check:
    try:
        took = measure(storage)
    except OSError as error:
        mend = "give the engine's user the right to write there, and see that the disk has room"
        return Check("writing", BAD, f"{storage} cannot be written: {error.strerror}", mend)
    text = f"4 kB are on disk in {took * 1000:.1f} ms"
    if took > SLOW_SYNC_S:
        mend = "each command waits for that once; use an SSD, or a controller with a battery"
        return Check("writing", DOUBT, text, mend)
    return Check("writing", GOOD, text)


def _mounts() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    parts = [line.split() for line in lines]
    return [(part[1].replace("\\040", " "), part[2]) for part in parts if len(part) > 2]


# ── rights ───────────────────────────────────────────────────────────────────────────────────


def check_rights(settings: Settings) -> Iterator[Check]:
    """Look who may read the storage, and who may change the settings and the rules."""
    wide = []
    storage = settings.storage.path
    if storage.is_dir() and stat.S_IMODE(storage.stat().st_mode) & 0o007:
        wide.append(
            Check("rights", DOUBT, f"everybody may look into {storage}", f"chmod o= {storage}")
        )
    for path in (settings.file, settings.folder, *settings.rules):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o002:
            text = f"everybody may change {path}, and with it what the city does"
            wide.append(Check("rights", BAD, text, f"chmod o-w {path}"))
    if os.geteuid() == 0:
        mend = "run it as a user of its own; `pilotage service install` writes such a unit"
        wide.append(
            Check("rights", DOUBT, "this is the superuser; the engine needs none of that", mend)
        )
    yield from wide or [Check("rights", GOOD, "settings, rules and storage are the service's own")]


# ── the clock ────────────────────────────────────────────────────────────────────────────────


def check_clock(storage: Path, state: Callable[[], int] | None = None) -> Iterator[Check]:
    """Look whether the clock is kept right, and is not behind what was written already."""
    found = (state or clock_state)()
    if found == UNKEPT:
        mend = "start systemd-timesyncd or chrony, and see that it reaches a time server"
        yield Check("time", DOUBT, "no time server keeps the system's clock right", mend)
    elif found < 0:
        yield Check(
            "time",
            DOUBT,
            "it cannot be seen here whether the clock is kept right",
            "look on the host",
        )
    else:
        yield Check("time", GOOD, "a time server keeps the system's clock right")
    newest = max((file.stat().st_mtime for file in _written(storage)), default=0.0)
    if newest > time.time() + AHEAD_S:
        ahead = (newest - time.time()) / 60
        mend = "set the system's clock; the engine would count on from there, and be ahead"
        yield Check(
            "clock", BAD, f"the clock is {ahead:.0f} min behind what the engine has written", mend
        )


def _written(storage: Path) -> Iterator[Path]:
    for pattern in ("journal.db*", "audit.db*", "snapshots/*"):
        yield from (file for file in storage.glob(pattern) if file.is_file())


# ── certificates ─────────────────────────────────────────────────────────────────────────────


def check_certificates(settings: Settings, now: datetime | None = None) -> Iterator[Check]:
    """Look when the certificates end that the settings name, and whether others may read their keys."""
    moment = now or datetime.now(UTC)
    for path in _files(settings):
        yield from _certificates(path, moment)
        yield from _key(path)


def certificate_ends(settings: Settings) -> Iterator[tuple[Path, float]]:
    """Return until when each certificate holds that the settings name, seconds since 1970; what cannot be read is left out."""
    for path in _files(settings):
        with contextlib.suppress(OSError, ValueError):
            for certificate in _read_certificates(path):
                yield path, certificate.not_valid_after_utc.timestamp()


def _files(settings: Settings) -> list[Path]:
    named = (_file(settings, name, value) for name, value in _options(settings))
    return list(dict.fromkeys(path for path in named if path is not None))


def _options(settings: Settings) -> Iterator[tuple[str, Any]]:
    for connection in settings.connections:
        yield from _leaves(connection.options)
    for part in (settings.metrics, getattr(settings, "web", None)):
        for name in ("certificate", "key"):
            yield name, getattr(part, name, None)


def _leaves(options: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _leaves(value, str(key))
    elif isinstance(options, list):
        for value in options:
            yield from _leaves(value, name)
    else:
        yield name, options


def _file(settings: Settings, name: str, value: Any) -> Path | None:
    is_named = re.search(r"certificate|^ca$|^key$|^trust", name) is not None
    path = settings.folder / str(value) if is_named and isinstance(value, (str, Path)) else None
    return path if path is not None and path.is_file() else None


def _read_certificates(path: Path) -> list[Any]:
    """Return the certificates of a file, none when it holds something else.

    Raises:
        OSError: It cannot be read.
        ValueError: It begins like one and is none.
    """
    from cryptography import x509

    data = path.read_bytes()
    blocks = _PEM.findall(data)
    if not blocks and data[:1] == b"\x30" and path.suffix in (".der", ".crt", ".cer"):
        return [x509.load_der_x509_certificate(data)]
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def _certificates(path: Path, now: datetime) -> Iterator[Check]:
    try:
        found = _read_certificates(path)
    except (OSError, ValueError) as error:
        yield Check(
            "certificate", BAD, f"{path} cannot be read: {error}", "see its rights and its format"
        )
        return
    for certificate in found:
        yield _life(path, certificate.not_valid_before_utc, certificate.not_valid_after_utc, now)


def _life(path: Path, begins: datetime, ends: datetime, now: datetime) -> Check:
    days = (ends - now).days
    if now > ends:
        return Check(
            "certificate",
            BAD,
            f"{path} has ended on {ends:%Y-%m-%d}",
            "put a new one there, then reload",
        )
    if now < begins:
        mend = "see the clock, or wait"
        return Check("certificate", BAD, f"{path} begins on {begins:%Y-%m-%d} only", mend)
    text = f"{path} ends on {ends:%Y-%m-%d}, in {days} days"
    if days < SOON_DAYS:
        return Check("certificate", DOUBT, text, "put a new one there, then reload")
    return Check("certificate", GOOD, text)


def _key(path: Path) -> Iterator[Check]:
    if b"PRIVATE KEY" in path.read_bytes()[:4_096] and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Check("key", BAD, f"others may read the private key {path}", f"chmod 600 {path}")


# ── the broker ───────────────────────────────────────────────────────────────────────────────


def check_broker(file: Path) -> Iterator[Check]:
    """Look at the settings of a Mosquitto for options with which it loses messages, or takes them from anybody."""
    options = broker_options(file)
    if options is None:
        return
    wrong = list(_losses(options)) + list(_openings(options))
    for text, mend in wrong:
        yield Check("broker", DOUBT, f"{file}: {text}", mend)
    if not wrong:
        yield Check("broker", GOOD, f"{file}: what it acknowledges is kept")


def broker_options(file: Path) -> dict[str, str] | None:
    """Return the options of a Mosquitto file and of those that it includes; None when there is none, or it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found: dict[str, str] = {}
    for line in lines:
        word, _, value = line.strip().partition(" ")
        if word == "include_dir":
            for included in sorted(Path(value.strip()).glob("*.conf")):
                found |= broker_options(included) or {}
        elif word and not word.startswith("#"):
            found[word] = value.strip()
    return found


def _losses(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    # Measured with Mosquitto 2.0: without these 100 of 100 acknowledged messages were gone after kill -9.
    if options.get("persistence", "false") != "true":
        yield "retained messages and sessions are gone when it ends", "write persistence true"
        return
    interval = options.get("autosave_interval", "1800")
    if options.get("autosave_on_changes", "false") != "true":
        text = f"what it acknowledged in the last {interval} s is gone when it is killed or loses power"
        yield text, "write autosave_on_changes true and autosave_interval 1"
    elif interval != "1":
        yield f"up to {interval} changes are gone when it is killed", "write autosave_interval 1"


def _openings(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if options.get("allow_anonymous") == "true":
        yield (
            "anybody may connect, and say that a street is empty",
            "write allow_anonymous false, and access lists",
        )
    if "listener" in options and not ({"acl_file", "plugin", "auth_plugin"} & options.keys()):
        yield (
            "every client may write every topic",
            "write acl_file, with a device's own topics only",
        )


# ── the machine ──────────────────────────────────────────────────────────────────────────────


def check_machine(settings: Settings) -> Iterator[Check]:
    """Look at the limits of this machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < LEAST_FILES:
        mend = f"write LimitNOFILE={LEAST_FILES} or more into the unit"
        yield Check("files", DOUBT, f"the engine may open {hard:,} files and connections", mend)
    else:
        yield Check("files", GOOD, f"the engine may open {hard:,} files and connections")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if settings.engine.memory > total:
        text = f"engine.memory is {_bytes(settings.engine.memory)}, and the machine has {_bytes(total)}"
        yield Check("memory", DOUBT, text, "lower engine.memory, so that it is told in time")
    else:
        yield Check("memory", GOOD, f"the machine has {_bytes(total)}")


def _nearest(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
