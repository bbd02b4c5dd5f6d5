"""`config.yaml` to frozen settings, with every mistake at its place; `SETTINGS` is the whole schema.

Knows nothing of plugins until `check_connections` and `check_names` are given what they bring.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pilotage.adapter import (
    ISOLATED,
    ISOLATED_MEMORY,
    MOST_POINT_READINGS,
    MOST_READINGS,
    AdapterFactory,
    ConnectionSettings,
)
from pilotage.adapter import Site as SiteView
from pilotage.adapter.secret import Secret
from pilotage.language import findings as say
from pilotage.language.loader import ListNode, MapNode, Node, ScalarNode, Source, load
from pilotage.model.addresses import is_loopback
from pilotage.model.diagnostics import Finding, RuleError, Span
from pilotage.model.entities import Rate
from pilotage.model.values import Position
from pilotage.runtime import findings as site
from pilotage.runtime.forms import (
    Report,
    as_list,
    as_map,
    as_scalar,
    as_text,
    as_texts,
    check_keys,
    parse_duration,
    parse_size,
    shape,
)
from pilotage.runtime.history.settings import HistorySettings, read_history
from pilotage.runtime.point_values import misplaced
from pilotage.runtime.post_settings import PostSettings, check_trades, read_posts
from pilotage.runtime.secret_files import SecretFiles, is_name
from pilotage.runtime.web_settings import WebSettings, parse_listen, read_web

# ── the schema ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of `config.yaml`.

    Attributes:
        key: Dotted; `NAME` and `*` stand for what the site chooses.
        type: What is written there, as the manual says it.
        default: As it would be written; empty when there is none.
        doc: One sentence.
        variable: Of the environment, which goes before the file; empty when there is none.
    """

    key: str
    type: str
    default: str
    doc: str
    variable: str = ""


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("site.name", "text", "city", "What people call the site; stands on pages and in notifications."),
    Setting("site.time_zone", "time zone", "UTC", "The city's time, by its name in the IANA database: schedules follow it."),
    Setting("site.position", "position", "", "[latitude, longitude] in degrees, for the sun; without it is_night is unknown."),
    Setting("site.area", "two positions", "", "South-west and north-east corner of the city: what the inventory has outside of it is doubted."),
    Setting("site.country", "country", "", "Two letters by ISO 3166-1, for public holidays."),
    Setting("site.subdivision", "text", "", "The part of the country, where it has holidays of its own."),
    Setting("site.language", "language", "en", "Two letters: the language of titles and texts for people."),
    Setting("plugins.disable", "list of names", "[]", "Plugins that are installed and shall not be loaded."),
    Setting("plugins.lock", "path", "", "The file with the plugins that may be loaded and their hashes; without it all may that are installed."),
    Setting("connections.NAME.adapter", "name", "", "The adapter that speaks to these devices: mqtt, …"),
    Setting("connections.NAME.*", "as the adapter says", "", "Everything else; a secret is written !secret NAME."),
    Setting("connections.NAME.isolate", "true or false", "false", "Run the adapter in a process of its own, so that its mistakes stay there."),
    Setting("connections.NAME.memory", "size", "300 MB", "What an isolated process may use; with more it is ended and started again."),
    Setting("connections.NAME.max_rate", "number", "", "Orders a second that the connection may carry; what is over it waits, the most urgent first."),
    Setting("connections.NAME.max_burst", "whole number", "max_rate", "Orders that may leave at once after a quiet moment; with `max_rate` only."),
    Setting("connections.NAME.max_readings", "number", "50000", "Readings a second that are taken; beyond that the newest of each point."),
    Setting("connections.NAME.max_point_readings", "number", "200", "The same for each of its points."),
    Setting("inventory", "list of entries", "[]", "Where the entities are: files, folders, mapped files, or entities themselves."),
    Setting("rules", "list of paths", "[rules]", "Rule files and folders, relative to this file; folders with all below them."),
    Setting("packs", "list of names, or all", "[]", "Rule packs of the domain plugins to load beside the site's own rules."),
    Setting("storage.path", "path", "var", "Folder of journal, history and snapshots.", "PILOTAGE_STORAGE_PATH"),
    Setting("storage.journal.sync", "full or normal", "full", "full: what was confirmed survives a power failure; normal: the last moments may be lost."),
    Setting("storage.journal.keep", "duration", "30 d", "How long decisions are kept for explain."),
    Setting("storage.journal.keep_inputs", "duration", "1 d", "How long the readings and orders behind the decisions are kept; what a restart needs stays in any case."),
    Setting("storage.journal.most", "size", "4 GB", "How large the journal may grow; beyond it the oldest goes before its time. 0: as large as it gets."),
    Setting("storage.ballast", "size", "32 MB", "Space that is held back on the disk, and given to the journal when the disk is full. 0: none."),
    Setting("storage.snapshot_every", "duration", "2 min", "How often the engine's state is kept; a start replays what came since."),
    Setting("storage.allow_old_sqlite", "true or false", "false", "Run on an SQLite before 3.51.3, which can corrupt a journal; only where no newer one can be had."),
    Setting("history.enabled", "true or false", "true", "Whether values are recorded; see the page on history."),
    Setting("history.keep.open", "duration", "90 d", "How long samples of open points are kept."),
    Setting("history.keep.internal", "duration", "90 d", "How long samples of internal points are kept."),
    Setting("history.keep.personal", "duration", "60 d", "How long personal points are kept, of which a purpose is declared; 366 d at most."),
    Setting("history.keep.sensitive", "duration", "7 d", "How long sensitive points are kept, of which a purpose is declared; 31 d at most."),
    Setting("history.rollups.minutes", "duration", "100 d", "How long roll-ups of 1 min are kept."),
    Setting("history.rollups.quarters", "duration", "400 d", "How long roll-ups of 15 min are kept."),
    Setting("history.rollups.hours", "duration", "1100 d", "How long roll-ups of 1 h are kept."),
    Setting("history.rollups.days", "duration", "3700 d", "How long roll-ups of a day are kept."),
    Setting("history.points", "list of entries", "[]", "What is recorded otherwise than by default; the first entry that fits a point decides."),
    Setting("audit.keep", "duration", "365 d", "How long rows of the audit are kept; an anchor seals those that go."),
    Setting("audit.anchor_folder", "path", "", "A second folder for the anchors of the audit, on another machine if possible."),
    Setting("control.socket", "path", "var/control.sock", "The local socket of the command line.", "PILOTAGE_CONTROL_SOCKET"),
    Setting("control.mode", "file mode", "0600", "Who may use the socket: 0600 the service's user, 0660 its group too."),
    Setting("web.listen", "host and port", "127.0.0.1:8080", "Where the pages listen; they are there when `web:` is.", "PILOTAGE_WEB_LISTEN"),
    Setting("web.address", "text", "", "How browsers reach the pages, such as https://pilotage.example.org; where they listen by default."),
    Setting("web.certificate", "path", "", "File with the certificate of the pages and its chain (PEM); with `web.key`."),
    Setting("web.key", "path", "", "File with the certificate's key (PEM)."),
    Setting("web.behind_proxy", "true or false", "false", "Whether a reverse proxy stands before the pages and does TLS."),
    Setting("web.trusted", "list of names", "[]", "Addresses or networks of these proxies: what they say of a client counts."),
    Setting("web.second_factor", "required or optional", "required", "Whether everybody needs a second factor to work with the pages."),
    Setting("web.people_key", "path", "", "File with the key under which the secrets of second factors are sealed, readable by the service alone."),
    Setting("web.provider.issuer", "text", "", "The city's identity provider (OpenID Connect), through which people may sign in: its https address."),
    Setting("web.provider.client", "text", "", "By which name the provider knows the pages."),
    Setting("web.provider.secret", "path", "", "File with the secret that goes with it, readable by the service alone."),
    Setting("web.provider.claim", "text", "preferred_username", "What of the provider's token is the name of an account here."),
    Setting("web.provider.title", "text", "", "What people call the provider; stands on the button."),
    Setting("web.outlive", "duration, or off", "5 min", "How long the pages still answer, and say so, after the engine's process has gone."),
    Setting("web.map", "path", "", "GeoJSON file with the city's outlines and main roads, which lies under the equipment on the map."),
    Setting("web.contact", "text", "", "Whom to tell what keeps somebody from using the pages: stands in the accessibility statement."),
    Setting("posts.NAME.title", "text, or one per language", "NAME", "What people call a post of the control room."),
    Setting("posts.NAME.trades", "list of trades", "[]", "Whose equipment it may take by hand: names of domain plugins."),
    Setting("posts.NAME.areas", "list of zones", "[]", "Where it may; everywhere by default."),
    Setting("posts.NAME.phone", "telephone", "", "Whom to call there: stands beside a refused button."),
    Setting("engine.uvloop", "true or false", "false", "Use uvloop in place of the standard event loop.", "PILOTAGE_ENGINE_UVLOOP"),
    Setting("engine.stuck_after", "duration, or off", "2 s", "The engine ends itself (status 70) when its event loop stands still for so long."),
    Setting("engine.rule_budget", "part, or off", "50 %", "Of a processor core, for 30 s: a rule that takes more is put into quarantine, with an alarm."),
    Setting("engine.memory", "size", "4 GB", "Above this the health report has a finding. 0: no bound."),
    Setting("metrics.listen", "address, or off", "off", "Where Prometheus reads the engine's metrics: 127.0.0.1:9464."),
    Setting("metrics.certificate", "path", "", "Certificate chain (PEM) of that address; with it and its key it speaks TLS."),
    Setting("metrics.key", "path", "", "Its private key (PEM)."),
    Setting("metrics.allow_remote", "true or false", "false", "Listen beyond this machine without TLS; only on a network of the operators' own."),
    Setting("traces.endpoint", "text", "", "Where a collector takes traces as OTLP over HTTP: http://127.0.0.1:4318/v1/traces; needs pilotage[otel]."),
    Setting("traces.sample", "part, or off", "1 %", "Of the decisions with commands that are traced."),
    Setting("log.level", "debug, info, warning or error", "info", "The least important line that is logged.", "PILOTAGE_LOG_LEVEL"),
    Setting("log.format", "text or json", "text", "One line a message for people, or one JSON object a line.", "PILOTAGE_LOG_FORMAT"),
    Setting("secrets", "path", "secrets", "Folder with one file per secret, each readable by the service alone (mode 0600)."),
)  # fmt: skip
"""Every key that `config.yaml` may have, in the order of the manual."""

ALL_PACKS: Final = "all"

_CONNECTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
SECRET_KEYS: Final = frozenset({"password", "passphrase", "token", "api_key", "secret_key"})
"""Options that are secrets even when they stand in the file as they are."""
_OWN_KEYS: Final = frozenset(
    {"adapter", "isolate", "max_burst", "max_point_readings", "max_rate", "max_readings", "memory"}
)  # of a connection; the others are its adapter's
LEAST_MEMORY: Final = 64 * 10**6
MOST_MEMORY: Final = 64 * 10**9
_SECRET_EXAMPLE: Final = "{secret: NAME}"


# ── what comes out ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Who and where the city is."""

    name: str
    time_zone: str
    position: Position | None
    country: str
    subdivision: str
    language: str
    area: tuple[Position, Position] | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return ZoneInfo(self.time_zone)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the engine keeps what must survive it, and for how long."""

    path: Path
    journal_sync: str
    journal_keep_s: float
    journal_keep_inputs_s: float = 86_400.0
    journal_most_bytes: int = 0
    ballast_bytes: int = 0
    allow_old_sqlite: bool = False
    snapshot_every_s: float = 120.0


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How long the audit is kept, and where its anchors go besides its own folder."""

    keep_s: float
    anchor_folder: Path | None


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The local socket of the command line."""

    socket: Path
    mode: int


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine runs."""

    uvloop: bool
    stuck_after_s: float = 0.0
    rule_share: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: str
    format: str


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the metrics are read; `host` is empty when they are off, and `certificate` and `key` come together."""

    host: str = ""
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where traces go, and which part of the decisions is traced; without an endpoint none is."""

    endpoint: str = ""
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `config.yaml` says; paths are absolute.

    Attributes:
        file: The file itself.
        disabled: Plugins that are not loaded, each with its place.
        lock: File with the plugins that may be loaded; None when all may.
        inventory: The entries as they stand, for `pilotage.runtime.inventory`.
        packs: Rule packs to load, each with its place; `all` is one of them when it was written.
        places: Where a connection's adapter is named, by the connection's name.
        web: Where the pages are; None when the engine runs without.
        secrets_folder: With one file per secret.
        posts: Of the control room; none when the file names none.
    """

    file: Path
    site: SiteSettings
    disabled: Mapping[str, Span]
    connections: tuple[ConnectionSettings, ...]
    inventory: ListNode | None = field(repr=False)
    rules: tuple[Path, ...]
    packs: Mapping[str, Span]
    storage: StorageSettings
    audit: AuditSettings
    control: ControlSettings
    engine: EngineSettings
    log: LogSettings
    history: HistorySettings
    places: Mapping[str, Span] = field(default_factory=dict)
    lock: Path | None = None
    metrics: MetricsSettings = MetricsSettings()
    traces: TraceSettings = TraceSettings()
    web: WebSettings | None = None
    secrets_folder: Path = Path("secrets")
    posts: tuple[PostSettings, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the file: relative paths begin there."""
        return self.file.parent

    def pack_names(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return the rule packs to load out of the known ones, in order of name for `all`."""
        return tuple(sorted(known)) if ALL_PACKS in self.packs else tuple(self.packs)


@dataclass(frozen=True, slots=True)
class SettingsRead:
    """What reading a configuration gave: settings when there is no error, and all findings with the texts they show."""

    settings: Settings | None
    findings: list[Finding]
    sources: dict[str, str]
    written: Mapping[str, Node] = field(default_factory=dict, repr=False)
    """What was written for a plain setting, in the environment or in the file, by its dotted key."""
    root: MapNode | None = field(default=None, repr=False)
    """The file itself, where it is a map."""
    file: Path = Path("config.yaml")
    secrets: Mapping[str, Span] = field(default_factory=dict)
    """The secrets that the file names, each with its first place."""


def read_settings(
    file: Path, environ: Mapping[str, str] | None = None, *, secrets: bool = True
) -> SettingsRead:
    """Return what a configuration file says, and everything that is wrong with it.

    Args:
        file: `config.yaml`.
        environ: Goes before the file where a setting has a variable; the process's own by default.
        secrets: False reads no secret and puts an empty one in its place: for checks where there are none.
    """
    reader = _Reader(file, os.environ if environ is None else environ, secrets)
    settings = reader.read()
    found = sorted(reader.report.findings, key=lambda finding: finding.at)
    if any(finding.is_error for finding in found):
        settings = None
    return SettingsRead(
        settings, found, reader.report.sources, reader.written, reader.root, file, reader.named
    )


def load_settings(file: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return what a configuration file says.

    Raises:
        RuleError: Something is wrong with it; the error shows everything.
    """
    read = read_settings(file, environ)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings


def check_connections(
    settings: Settings, adapters: Mapping[str, AdapterFactory], view: SiteView, only: str = ""
) -> list[Finding]:
    """Return what is wrong with the connections: no such adapter, or what the adapter itself finds.

    Args:
        settings: What the settings file says.
        adapters: What the plugins bring, by name.
        view: The city.
        only: The name of the only connection to look at; all of them without.
    """
    found: list[Finding] = []
    for connection in settings.connections:
        if only not in ("", connection.name):
            continue
        at = settings.places[connection.name]
        factory = adapters.get(connection.factory)
        if factory is None:
            found.append(_no_factory(at, connection, adapters))
            continue
        try:
            found.extend(factory.check(connection, view))
        except Exception as error:  # a plugin may raise anything
            why = f"{type(error).__name__}: {error}"
            found.append(site.adapter_failed(at, connection.adapter, why))
    return found


def _no_factory(at: Span, connection: ConnectionSettings, adapters: Iterable[str]) -> Finding:
    """Return why a connection cannot be opened: no plugin brings its adapter, or the engine has it in its other form only."""
    known = set(adapters)
    if connection.isolate and connection.adapter in known:
        return site.not_isolated(at, connection.adapter)
    if not connection.isolate and connection.adapter + ISOLATED in known:
        return site.only_isolated(at, connection.adapter)
    names = {name.removesuffix(ISOLATED) for name in known}
    return site.unknown_adapter(at, connection.adapter, names)


def check_names(settings: Settings, plugins: Iterable[str], packs: Iterable[str]) -> list[Finding]:
    """Return what is wrong with the plugins to disable and the rule packs to load."""
    known_plugins, known_packs = set(plugins), set(packs)
    return [
        *check_trades(settings.posts, known_plugins),
        *(
            site.unknown_plugin(at, name, known_plugins)
            for name, at in settings.disabled.items()
            if name not in known_plugins
        ),
        *(
            site.unknown_pack(at, name, known_packs)
            for name, at in settings.packs.items()
            if name != ALL_PACKS and name not in known_packs
        ),
    ]


# ── reading ──────────────────────────────────────────────────────────────────────────────────


class _Reader:
    """Reads one file; `SETTINGS` says which keys there are."""

    def __init__(self, file: Path, environ: Mapping[str, str], secrets: bool) -> None:
        self.file = file.absolute()
        self.environ = environ
        self.report = Report()
        self._with_secrets = secrets
        self._name = str(file)
        self._secrets = self._keeper(self.file.parent / "secrets")
        self.written: dict[str, Node] = {}
        self.named: dict[str, Span] = {}
        self.root: MapNode | None = None

    def read(self) -> Settings | None:
        """Return the settings; they hold defaults where something was wrong."""
        text = self.report.read_bytes(Path(self._name))
        if text is None:
            return None
        root = self.root = self._root(text)
        if root is None:
            return None
        values = self._values(root)
        self._secrets = self._keeper(values["secrets"])
        self._check_lock(root, values["plugins.lock"])
        connections, places = self._connections(root.get("connections"))
        return Settings(
            file=self.file,
            site=self._site(root, values),
            disabled=values["plugins.disable"],
            connections=connections,
            inventory=as_list(root.get("inventory"), "inventory", self.report, "- inventory"),
            rules=values["rules"],
            packs=values["packs"],
            storage=StorageSettings(
                values["storage.path"],
                values["storage.journal.sync"],
                values["storage.journal.keep"],
                values["storage.journal.keep_inputs"],
                values["storage.journal.most"],
                values["storage.ballast"],
                values["storage.allow_old_sqlite"],
                values["storage.snapshot_every"],
            ),
            audit=AuditSettings(values["audit.keep"], values["audit.anchor_folder"]),
            control=ControlSettings(values["control.socket"], values["control.mode"]),
            engine=EngineSettings(
                values["engine.uvloop"],
                values["engine.stuck_after"] or 0.0,
                values["engine.rule_budget"] or 0.0,
                values["engine.memory"],
            ),
            log=LogSettings(values["log.level"], values["log.format"]),
            history=read_history(root, values, self.report),
            places=places,
            lock=values["plugins.lock"],
            metrics=self._metrics(root, values),
            traces=self._traces(root, values),
            web=read_web(root, values, self.report),
            secrets_folder=values["secrets"],
            posts=read_posts(root, self.report),
        )

    def _keeper(self, folder: Path) -> SecretFiles:
        """Return where the secrets are, with their folder as it is shown to people."""
        shown = Path(self._name).parent / os.path.relpath(folder, self.file.parent)
        return SecretFiles(folder, shown, self.environ)

    def _root(self, text: bytes) -> MapNode | None:
        node, found = load(text, self._name, secret_tag=True)
        self.report.findings.extend(found)
        self.report.sources[self._name] = text.decode("utf-8", "replace")
        if node is None or (isinstance(node, ScalarNode) and node.is_null):
            if not found:
                self.report.add(site.empty_file(Span(self._name, 1, 1)))
            return None
        return as_map(node, Path(self._name).name, self.report, "site: {name: ...}")

    def _values(self, root: MapNode) -> dict[str, Any]:
        """Return the value of every plain setting: from the environment, else the file, else the default."""
        _check_tree(root, "", self.report)
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            read = _READERS.get(setting.type)
            if read is None:
                continue
            node = self._from_environment(setting) or _find(root, setting.key)
            if node is not None:
                self.written[setting.key] = node
            values[setting.key] = None if node is None else read(self, setting.key, node)
            if values[setting.key] is None and setting.default:
                values[setting.key] = read(self, setting.key, _default(setting))
        return values

    def _check_lock(self, root: MapNode, lock: Path | None) -> None:
        node = _find(root, "plugins.lock")
        if lock is not None and isinstance(node, ScalarNode) and not lock.is_file():
            beside = [entry.name for entry in lock.parent.iterdir()] if lock.parent.is_dir() else []
            self.report.add(site.path_missing(node.at, node.text, beside))

    def _traces(self, root: MapNode, values: Mapping[str, Any]) -> TraceSettings:
        """Return where traces go; beyond this machine by TLS only: they tell what the city does."""
        endpoint, node = values["traces.endpoint"] or "", _find(root, "traces.endpoint")
        if endpoint and node is not None:
            address = urlsplit(endpoint)
            is_safe = address.scheme == "https" or (
                address.scheme == "http" and is_loopback(address.hostname or "")
            )
            if not is_safe or not address.hostname:
                self.report.add(site.bad_endpoint(node.at, endpoint))
        return TraceSettings(endpoint, values["traces.sample"] or 0.0)

    def _metrics(self, root: MapNode, values: Mapping[str, Any]) -> MetricsSettings:
        """Return where the metrics are read; beyond this machine with TLS only, or when it is said so."""
        host, port = values["metrics.listen"] or ("", 0)
        certificate, key = values["metrics.certificate"], values["metrics.key"]
        at = next((n.at for n in (_find(root, f"metrics.{w}") for w in _METRICS_KEYS) if n), None)
        if at is not None and (certificate is None) is not (key is None):
            self.report.add(site.half_a_certificate(at))
        is_open = host and not is_loopback(host) and certificate is None
        if at is not None and is_open and not values["metrics.allow_remote"]:
            self.report.add(site.metrics_in_clear(at, f"{host}:{port}"))
        return MetricsSettings(host, port, certificate, key)

    def _from_environment(self, setting: Setting) -> Node | None:
        text = self.environ.get(setting.variable, "") if setting.variable else ""
        if not text:
            return None
        name = f"environment {setting.variable}"
        self.report.sources[name] = text
        return ScalarNode(Source(name, text), 1, 1, 0, len(text), text, "")

    def _site(self, root: MapNode, values: Mapping[str, Any]) -> SiteSettings:
        position, country = values["site.position"], values["site.country"] or ""
        node = _find(root, "site.subdivision")
        subdivision = values["site.subdivision"] or ""
        if subdivision and node is not None:
            if not country and _find(root, "site.country") is None:
                self.report.add(site.subdivision_without_country(node.at))
            elif country:
                self._check_subdivision(node.at, subdivision, country)
        written = _find(root, "site")
        if written is not None and _find(root, "site.position") is None:
            self.report.add(site.no_position(written.at))
        return SiteSettings(
            values["site.name"],
            values["site.time_zone"],
            position,
            country,
            subdivision,
            values["site.language"],
            values["site.area"],
        )

    def _check_subdivision(self, at: Span, written: str, country: str) -> None:
        known = _subdivisions(country)
        if written not in known:
            self.report.add(site.bad_subdivision(at, written, country, known))

    # connections and their secrets

    def _connections(
        self, node: Node | None
    ) -> tuple[tuple[ConnectionSettings, ...], dict[str, Span]]:
        found: list[ConnectionSettings] = []
        places: dict[str, Span] = {}
        table = as_map(node, "connections", self.report, "NAME: {adapter: mqtt, ...}")
        for key, value in table.entries if table is not None else ():
            if not _CONNECTION_NAME.fullmatch(key.text):
                self.report.add(site.bad_connection_name(key.at, key.text))
            entry = as_map(value, key.text, self.report, "{adapter: mqtt, ...}")
            if entry is None:
                if isinstance(value, ScalarNode) and value.is_null:
                    self.report.add(say.missing_key(key.at, "adapter", key.text, "adapter: mqtt"))
                continue
            adapter = entry.get("adapter")
            if adapter is None:
                what = f'the connection "{key.text}"'
                self.report.add(say.missing_key(key.at, "adapter", what, "adapter: mqtt"))
                continue
            options = {
                name.text: self._option(name.text, option)
                for name, option in entry.entries
                if name.text not in _OWN_KEYS
            }
            word = as_text(adapter, "adapter", self.report) or ""
            isolate, memory = self._isolation(entry)
            own = (isolate, memory, self._pace(entry), *self._floods(entry))
            found.append(ConnectionSettings(key.text, word, options, str(key.at), *own))
            places[key.text] = adapter.at
        return tuple(found), places

    def _floods(self, entry: MapNode) -> tuple[float, float]:
        """Return how many readings a second are taken of a connection, and of each of its points."""
        keys = (("max_readings", MOST_READINGS), ("max_point_readings", MOST_POINT_READINGS))
        most, most_of_point = (
            default if (node := entry.get(key)) is None else self._positive(key, node) or default
            for key, default in keys
        )
        return most, most_of_point

    def _pace(self, entry: MapNode) -> Rate | None:
        """Return what a connection may carry: a burst, and the seconds in which it may be repeated; None is everything."""
        speed, burst = (
            None if (node := entry.get(key)) is None else self._positive(key, node)
            for key in ("max_rate", "max_burst")
        )
        lone = entry.get("max_burst")
        if lone is not None and entry.get("max_rate") is None:
            self.report.add(site.burst_without_rate(lone.at))
        if speed is None:
            return None
        count = max(1, round(speed if burst is None else burst))
        return Rate(count, count / speed)

    def _positive(self, key: str, node: Node) -> float | None:
        scalar = as_scalar(node, key, "a number above 0", self.report)
        value = None if scalar is None else scalar.value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1e6:
            return float(value)
        if scalar is not None:
            self.report.add(site.bad_rate(scalar.at, key, scalar.text))
        return None

    def _isolation(self, entry: MapNode) -> tuple[bool, int]:
        """Return whether a connection is isolated, and how many bytes it may have then."""
        isolate, memory = entry.get("isolate"), entry.get("memory")
        is_isolated = isolate is not None and self.boolean("isolate", isolate) is True
        if memory is not None and not is_isolated:
            self.report.add(site.memory_without_isolation(memory.at))
        size = None if memory is None else self.size("memory", memory)
        if memory is not None and size is not None and not LEAST_MEMORY <= size <= MOST_MEMORY:
            self.report.add(site.memory_out_of_range(memory.at))
        return is_isolated, ISOLATED_MEMORY if size is None else size

    def _option(self, key: str, node: Node) -> Any:
        """Return an option as plain YAML types, with its secrets resolved."""
        if isinstance(node, ListNode):
            return [self._option(key, item) for item in node.items]
        if isinstance(node, MapNode):
            if [name.text for name, _ in node.entries] == ["secret"]:
                return self._secret(node.entries[0][1])
            return {name.text: self._option(name.text, item) for name, item in node.entries}
        if key in SECRET_KEYS and not node.is_null:
            self.report.add(site.secret_in_clear(node.at, key))
            self._mask(node)
            return Secret(node.text)
        return node.value

    def _mask(self, node: ScalarNode) -> None:
        """Hide a secret in the text that findings quote."""
        text = self.report.sources[self._name]
        stars = "*" * (node.end - node.start)
        self.report.sources[self._name] = text[: node.start] + stars + text[node.end :]

    def _secret(self, node: Node) -> Secret:
        scalar = as_scalar(node, "secret", "the name of a secret", self.report)
        if scalar is None:
            return Secret()
        self.named.setdefault(scalar.text, scalar.at)
        found = self._secrets.read(scalar.text, scalar.at) if self._with_secrets else None
        if isinstance(found, Finding):
            self.report.add(found)
        elif not self._with_secrets and not is_name(scalar.text):
            self.report.add(site.bad_secret_name(scalar.at, scalar.text))
        return found if isinstance(found, Secret) else Secret()

    # one reader per type of setting; None when something was wrong

    def text(self, key: str, node: Node) -> str | None:
        """Read a text."""
        return as_text(node, key, self.report)

    def path(self, key: str, node: Node) -> Path | None:
        """Read a path, relative to the file."""
        text = as_text(node, key, self.report)
        return None if text is None else self.file.parent / text

    def paths(self, key: str, node: Node) -> tuple[Path, ...] | None:
        """Read paths that must be there."""
        found: list[Path] = []
        for scalar in as_texts(node, key, self.report):
            path = self.file.parent / scalar.text
            if path.exists():
                found.append(path)
            elif scalar.source.file != _DEFAULT:
                beside = (
                    [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
                )
                self.report.add(site.path_missing(scalar.at, scalar.text, beside))
        return tuple(found)

    def names(self, key: str, node: Node) -> dict[str, Span]:
        """Read a list of names with their places."""
        return {scalar.text: scalar.at for scalar in as_texts(node, key, self.report)}

    def boolean(self, key: str, node: Node) -> bool | None:
        """Read `true` or `false`."""
        scalar = as_scalar(node, key, "true or false", self.report)
        if scalar is None:
            return None
        if not isinstance(scalar.value, bool):
            self.report.add(say.bad_boolean(scalar.at, key, scalar.text))
            return None
        return scalar.value

    def duration(self, key: str, node: Node) -> float | None:
        """Read a duration, in seconds."""
        scalar = as_scalar(node, key, "a duration", self.report)
        if scalar is None:
            return None
        try:
            return parse_duration(scalar.text)
        except ValueError:
            self.report.add(say.bad_duration(scalar.at, scalar.text))
            return None

    def duration_or_off(self, key: str, node: Node) -> float | None:
        """Read a duration, in seconds; `off` is 0."""
        if isinstance(node, ScalarNode) and node.text == "off":
            return 0.0
        return self.duration(key, node)

    def address_or_off(self, key: str, node: Node) -> tuple[str, int] | None:
        """Read `HOST:PORT`, an IPv6 address in brackets; `off` is no address."""
        text = as_text(node, key, self.report)
        if text is None or text == "off":
            return None
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            self.report.add(site.bad_address(node.at, key, text))
            return None
        return host, int(port)

    def part_or_off(self, key: str, node: Node) -> float | None:
        """Read a part of a whole as a percentage, from 0 to 1; `off` is 0."""
        text = as_text(node, key, self.report)
        if text is None or text == "off":
            return 0.0 if text else None
        number = text.removesuffix("%").strip()
        part = float(number) / 100 if re.fullmatch(r"\d{1,3}(\.\d+)?", number) else 0.0
        if not text.endswith("%") or not 0 < part <= 1:
            self.report.add(site.bad_part(node.at, key, text))
            return None
        return part

    def size(self, key: str, node: Node) -> int | None:
        """Read a size, in bytes."""
        scalar = as_scalar(node, key, "a size", self.report)
        if scalar is None:
            return None
        try:
            return parse_size(scalar.text)
        except ValueError:
            self.report.add(site.bad_size(scalar.at, scalar.text))
            return None

    def time_zone(self, key: str, node: Node) -> str | None:
        """Read the name of a time zone that exists."""
        text = as_text(node, key, self.report)
        if text is None:
            return None
        try:
            datetime(2026, 1, 1, tzinfo=ZoneInfo(text))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.report.add(site.bad_time_zone(node.at, text, sorted(available_timezones())))
            return None
        return text

    def position(self, key: str, node: Node) -> Position | None:
        """Read [latitude, longitude]."""
        if not isinstance(node, ListNode):
            self.report.add(say.wrong_shape(node.at, key, "a list", shape(node), "[47.322, 5.041]"))
            return None
        numbers = [item.value if isinstance(item, ScalarNode) else None for item in node.items]
        shown = "[" + ", ".join(str(number) for number in numbers) + "]"
        if len(numbers) != 2 or not all(type(number) in (int, float) for number in numbers):
            self.report.add(site.bad_position(node.at, shown, "two numbers are expected"))
            return None
        latitude, longitude = (float(number) for number in numbers if number is not None)
        why = misplaced(latitude, longitude)
        if why:
            self.report.add(site.bad_position(node.at, shown, why))
            return None
        return Position(latitude, longitude)

    def corners(self, key: str, node: Node) -> tuple[Position, Position] | None:
        """Read [[south, west], [north, east]]."""
        if not isinstance(node, ListNode) or len(node.items) != 2:
            example = "[[47.25, 4.95], [47.40, 5.15]]"
            self.report.add(say.wrong_shape(node.at, key, "two positions", shape(node), example))
            return None
        low, high = (self.position(key, item) for item in node.items)
        if low is None or high is None:
            return None
        if low.latitude >= high.latitude or low.longitude >= high.longitude:
            why = "the south-west corner comes first"
            self.report.add(site.bad_position(node.at, f"{low} to {high}", why))
            return None
        return low, high

    def country(self, key: str, node: Node) -> str | None:
        """Read a country whose holidays are known."""
        text = as_text(node, key, self.report)
        if text is None:
            return None
        if text not in _countries():
            self.report.add(site.bad_country(node.at, text, _countries()))
            return None
        return text

    def language(self, key: str, node: Node) -> str | None:
        """Read the two letters of a language."""
        text = as_text(node, key, self.report)
        if text is not None and not re.fullmatch("[a-z]{2}", text):
            self.report.add(site.bad_language(node.at, text))
            return None
        return text

    def listen(self, key: str, node: Node) -> tuple[str, int] | None:
        """Read where to listen, `HOST:PORT`."""
        text = as_text(node, key, self.report)
        if text is None:
            return None
        found = parse_listen(text)
        if found is None:
            self.report.add(site.bad_listen(node.at, text))
        return found

    def mode(self, key: str, node: Node) -> int | None:
        """Read a file mode in octal that keeps others out."""
        text = as_text(node, key, self.report)
        if text is None:
            return None
        mode = int(text, 8) if re.fullmatch("(0o)?[0-7]{3,4}", text) else -1
        if mode < 0 or mode & 0o117 or mode & 0o600 != 0o600:
            self.report.add(site.bad_mode(node.at, text))
            return None
        return mode


# ── the schema at work ───────────────────────────────────────────────────────────────────────

_DEFAULT: Final = "<default>"


def _choice(*words: str) -> Callable[[_Reader, str, Node], str | None]:
    def read(reader: _Reader, key: str, node: Node) -> str | None:
        text = as_text(node, key, reader.report)
        if text is not None and text not in words:
            reader.report.add(say.bad_choice(node.at, key, text, words))
            return None
        return text

    return read


_READERS: Final[dict[str, Callable[[_Reader, str, Node], Any]]] = {
    "text": _Reader.text,
    "path": _Reader.path,
    "list of paths": _Reader.paths,
    "list of names": _Reader.names,
    "list of names, or all": _Reader.names,
    "true or false": _Reader.boolean,
    "duration": _Reader.duration,
    "duration, or off": _Reader.duration_or_off,
    "address, or off": _Reader.address_or_off,
    "part, or off": _Reader.part_or_off,
    "size": _Reader.size,
    "time zone": _Reader.time_zone,
    "position": _Reader.position,
    "two positions": _Reader.corners,
    "country": _Reader.country,
    "language": _Reader.language,
    "file mode": _Reader.mode,
    "host and port": _Reader.listen,
    "full or normal": _choice("full", "normal"),
    "debug, info, warning or error": _choice("debug", "info", "warning", "error"),
    "text or json": _choice("text", "json"),
    "required or optional": _choice("required", "optional"),
}
"""How each type of setting is read; what is not here has a reader of its own."""


_METRICS_KEYS: Final = ("listen", "certificate", "key")


def _default(setting: Setting) -> Node:
    """Return a default as if it had been written: the manual's text is the value that counts."""
    text = setting.default
    source = Source(_DEFAULT, text)
    if text.startswith("["):
        words = [word.strip() for word in text[1:-1].split(",") if word.strip()]
        items: list[Node] = [ScalarNode(source, 1, 1, 0, len(word), word, "") for word in words]
        return ListNode(source, 1, 1, 0, len(text), items)
    return ScalarNode(source, 1, 1, 0, len(text), text, "")


def _find(root: MapNode, key: str) -> Node | None:
    """Return what stands under a dotted key; None when it is not there, or empty."""
    node: Node | None = root
    for word in key.split("."):
        node = node.get(word) if isinstance(node, MapNode) else None
    return None if isinstance(node, ScalarNode) and node.is_null else node


def _check_tree(node: MapNode, path: str, report: Report) -> None:
    """Report the keys that `SETTINGS` does not have, at every depth."""
    start = f"{path}." if path else ""
    below = [s.key.removeprefix(start) for s in SETTINGS if s.key.startswith(start)]
    words = list(dict.fromkeys(key.partition(".")[0] for key in below))
    check_keys(node, f'"{path}"' if path else "config.yaml", words, report)
    groups = {key.partition(".")[0] for key in below if "." in key} - {"connections", "posts"}
    for key, value in node.entries:
        if key.text not in groups or (isinstance(value, ScalarNode) and value.is_null):
            continue
        branch = as_map(value, key.text, report)
        if branch is not None:
            _check_tree(branch, start + key.text, report)


@cache
def _countries() -> tuple[str, ...]:
    """Return the countries whose holidays are known."""
    # The package is large; only a site that names a country waits for it.
    from holidays.registry import EntityLoader

    return tuple(EntityLoader.get_country_codes())


def _subdivisions(country: str) -> tuple[str, ...]:
    """Return the parts of a country that have holidays of their own."""
    import holidays

    return tuple(getattr(holidays, country).subdivisions) if country in _countries() else ()
