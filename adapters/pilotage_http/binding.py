"""Configuration to points: which path of which server, or of ours, carries which point of which entity, both ways.

Every mistake becomes a finding; a plan with findings that are errors is never opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pilotage.adapter import ConnectionSettings, Site
from pilotage.adapter.options import Problems, Section, meant
from pilotage.adapter.payload_binding import (
    CALL_SLOTS,
    REQUEST_SLOTS,
    WRITE_SLOTS,
    Attributes,
    Outlet,
    Own,
    Part,
    PayloadBinder,
    Shared,
    attribute,
    grouped,
)
from pilotage.adapter.payloads import Convert, Path, Render, text_of, translate
from pilotage.adapter.selection import is_taken
from pilotage.model.addresses import is_loopback
from pilotage.model.diagnostics import Finding
from pilotage.model.entities import EntitySpec, Kind
from pilotage.model.messages import PointHandle
from pilotage.model.values import TEXT
from pilotage_http.signature import FORMS, SIGNATURE_HEADER, TIME_HEADER

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
WRITE_METHODS: Final = ("PUT", "POST", "PATCH", "GET", "DELETE")

_SLOT: Final = re.compile(r"\{([^{}]+)\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH: Final = re.compile(r"/[!-~]*")


# ── what a binding becomes ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Server:
    """One of the servers that requests may go to; there are no others.

    Attributes:
        url: Scheme, host and port, and the beginning of every path.
        is_private: It may have an address of this machine or of a private network.
        ca: File of the authority that has signed its certificate; empty for the system's.
        timeout_s: Longest time for one request, all in all.
        max_body: Most bytes of an answer.
        connections: Most requests at a time.
        retries: How often an order that sets a value is tried again while its deadline allows.
    """

    name: str
    url: str
    host: str
    port: int
    is_tls: bool
    is_private: bool
    ca: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    timeout_s: float
    max_body: int
    connections: int
    retries: int


@dataclass(frozen=True, slots=True)
class Listener:
    """Where webhooks come in.

    Attributes:
        per_s, burst: What one address may send.
        tolerance_s: How old a signed message may be.
        certificate, key: Files; without them it speaks plain HTTP.
    """

    host: str
    port: int
    certificate: str
    key: str
    max_body: int
    per_s: float
    burst: int
    tolerance_s: float
    form: str
    time_header: str
    signature_header: str


@dataclass(slots=True)
class Hook:
    """One path of ours."""

    is_signed: bool = True
    secret: bytes = field(default=b"", repr=False)
    sources: list[Own | Shared] = field(default_factory=list)

    @property
    def points(self) -> list[PointHandle]:
        """The points that it reports."""
        return [point for source in self.sources for point in source.points]


@dataclass(slots=True)
class Poll:
    """One path of a server that is read again and again."""

    server: str
    path: str
    every_s: float
    sources: list[Own | Shared] = field(default_factory=list)

    @property
    def points(self) -> list[PointHandle]:
        """The points that it reports."""
        return [point for source in self.sources for point in source.points]


@dataclass(frozen=True, slots=True)
class Target:
    """What can be ordered: which request, and what the placeholders stand for."""

    server: str
    method: str
    path: Render
    outlet: Outlet
    attributes: Mapping[str, Any]
    content_type: str
    status: Path | None = None
    detail: Path | None = None
    convert: Convert | None = None


@dataclass(slots=True)
class Plan:
    """One connection, ready to run; polls by server and path."""

    servers: dict[str, Server] = field(default_factory=dict)
    listener: Listener | None = None
    hooks: dict[str, Hook] = field(default_factory=dict)
    polls: dict[tuple[str, str], Poll] = field(default_factory=dict)
    writes: dict[str, Target] = field(default_factory=dict)
    requests: dict[str, Target] = field(default_factory=dict)
    calls: dict[str, Target] = field(default_factory=dict)
    known: frozenset[str] = frozenset()

    @property
    def points(self) -> list[PointHandle]:
        """Every point that this connection reports, once, in order of id."""
        every: list[Hook | Poll] = [*self.hooks.values(), *self.polls.values()]
        found = {point.id: point for source in every for point in source.points}
        return [found[name] for name in sorted(found)]


def bind(settings: ConnectionSettings, site: Site) -> tuple[Plan, list[Finding]]:
    """Return the plan of a connection, and everything that is wrong with its settings."""
    problems = Problems(settings)
    options = Section(settings.options, f"connections.{settings.name}", problems)
    plan = Plan(known=frozenset(entity.id for entity in site.entities()))
    plan.servers = _servers(options)
    secret = None
    if "listen" in options:
        plan.listener, secret = _listener(options.section("listen"))
    if not plan.servers and plan.listener is None:
        message = 'neither "listen" nor "servers": nothing can come in or go out'
        problems.error("missing-key", options.where, message)
    binder = _Binder(plan, site, problems, secret)
    for section in options.sections("points"):
        binder.points(section)
    for section in options.sections("calls"):
        binder.call(section)
    options.end()
    return plan, problems.found


# ── servers and the listener ─────────────────────────────────────────────────────────────────


def _servers(options: Section) -> dict[str, Server]:
    if options.any("servers") is None:
        return {}
    listed = options.section("servers")
    servers = {}
    for name in listed.raw:
        section = listed.section(name)
        if section.is_mapping:
            servers[name] = _server(section, name)
    return servers


def _server(section: Section, name: str) -> Server:
    url = section.text("url", required=True)
    is_plain, is_private = section.flag("plain"), section.flag("private")
    host, port, is_tls = _address(section, url, is_plain=is_plain)
    ca = section.text("ca")
    if ca and not File(ca).is_file():
        section.problems.error("no-such-file", section.path("ca"), f'there is no file "{ca}"')
    made = Server(
        name=name,
        url=url.rstrip("/"),
        host=host,
        port=port,
        is_tls=is_tls,
        is_private=is_private,
        ca=ca,
        headers=_headers(section),
        timeout_s=section.seconds("timeout", 2.0, 0.1, 60.0),
        max_body=section.whole("max_body", 65_536, 1, 16_777_216),
        connections=section.whole("connections", 4, 1, 100),
        retries=section.whole("retries", 1, 0, 5),
    )
    section.end()
    return made


def _address(section: Section, url: str, *, is_plain: bool) -> tuple[str, int, bool]:
    """Return host, port and whether it is encrypted; ("", 0, True) after a finding."""
    if not url:
        return "", 0, True
    where, problems = section.path("url"), section.problems
    mend = "write https://HOST or https://HOST:PORT/BEGINNING"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        problems.error("url", where, f'"{url}" is no address: {error}', mend)
        return "", 0, True
    if parts.scheme not in ("http", "https") or not host:
        problems.error("url", where, f'"{url}" is no address', mend)
    elif parts.username is not None:
        problems.error("url", where, "holds a user", 'write "headers: {Authorization: …}"')
    elif parts.query or parts.fragment or "{" in url:
        problems.error("url", where, f'"{url}" is more than the beginning of an address', mend)
    elif parts.scheme == "http" and not is_plain:
        message = "without https everybody on the way can read and change it"
        problems.error("insecure", where, message, 'write https, or add "plain: true"')
    is_tls = parts.scheme == "https"
    return host, port or (443 if is_tls else 80), is_tls


def _headers(section: Section) -> tuple[tuple[str, str], ...]:
    listed = section.section("headers")
    found = []
    for name in listed.raw:
        value = listed.text(name)
        if not _HEADER.fullmatch(name) or any(ord(sign) < 32 for sign in value):
            message = f'"{name}" is no header of HTTP'
            section.problems.error("wrong-value", listed.path(name), message)
        found.append((name, value))
    return tuple(found)


def _listener(section: Section) -> tuple[Listener, str | None]:
    secret = section.text("secret") if "secret" in section else None
    certificate, key = "", ""
    if "tls" in section:
        tls = section.section("tls")
        certificate, key = tls.text("certificate", required=True), tls.text("key", required=True)
        for name, file in (("certificate", certificate), ("key", key)):
            if file and not File(file).is_file():
                message = f'there is no file "{file}"'
                section.problems.error("no-such-file", tls.path(name), message)
        tls.end()
    made = Listener(
        host=section.text("host", "127.0.0.1"),
        port=section.whole("port", 8470, 1, 65_535),
        certificate=certificate,
        key=key,
        max_body=section.whole("max_body", 65_536, 1, 16_777_216),
        per_s=section.number("rate", 20.0, 0.01, 100_000.0),
        burst=section.whole("burst", 100, 1, 100_000),
        tolerance_s=section.seconds("tolerance", 300.0, 1.0, 3600.0),
        form=section.choice("signed", FORMS[0], FORMS),
        time_header=section.text("time_header", TIME_HEADER),
        signature_header=section.text("signature_header", SIGNATURE_HEADER),
    )
    if not is_loopback(made.host) and not certificate and not section.flag("plain"):
        message = f"without TLS everybody on the way to {made.host} can read what is sent"
        mend = 'add "tls", listen on 127.0.0.1 behind a proxy that has it, or add "plain: true"'
        section.problems.error("insecure", section.where, message, mend)
    section.flag("plain")
    section.end()
    return made, secret


# ── points ───────────────────────────────────────────────────────────────────────────────────


class _Binder(PayloadBinder):
    """Reads the bindings of one connection into its plan."""

    has_qos = False
    needs_payload = False

    def __init__(self, plan: Plan, site: Site, problems: Problems, secret: str | None) -> None:
        super().__init__(site, problems)
        self.plan = plan
        self.secret = secret

    def points(self, section: Section) -> None:
        """Bind one entry under `points:`."""
        kind, members = self.members_of(section)
        parts = {key: section.sections(key) for key in ("hook", "poll", "write", "request")}
        section.end()
        if not any(parts.values()):
            mend = 'add "hook", "poll", "write" or "request"'
            self.problems.error("missing-key", section.where, "binds nothing", mend)
        if kind is None:
            return
        for part in parts["hook"]:
            self._hook(part, kind, members)
        for part in parts["poll"]:
            self._poll(part, kind, members)
        for part in parts["write"]:
            self._order(part, kind, members, held=False)
        for part in parts["request"]:
            self._order(part, kind, members, held=True)

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    def _hook(self, section: Section, kind: Kind, members: Sequence[EntitySpec]) -> None:
        has_secret = "secret" in section or self.secret is not None
        is_unsigned = section.flag("unsigned")
        secret = section.text("secret", self.secret or "").encode()
        if self.plan.listener is None:
            message = 'nobody listens: "listen" is missing'
            self.problems.error("missing-key", section.where, message, 'add "listen: {port: 8470}"')
        if not has_secret and not is_unsigned:
            message = "without a secret anybody can say anything here"
            mend = 'add "secret: {secret: NAME}" here or to "listen", or write "unsigned: true"'
            self.problems.error("insecure", section.where, message, mend)
        for path, source in self._sources(section, kind, members):
            hook = self.plan.hooks.setdefault(path, Hook(not is_unsigned, secret))
            if (hook.is_signed, hook.secret) != (not is_unsigned, secret):
                message = f'"{path}" is bound before with another secret'
                self.problems.error("two-secrets", section.where, message, "keep one of the two")
                return
            hook.sources.append(source)

    def _poll(self, section: Section, kind: Kind, members: Sequence[EntitySpec]) -> None:
        server = self._server(section)
        every_s = section.seconds("every", 30.0, 0.1, 86_400.0)
        for path, source in self._sources(section, kind, members):
            if server:
                poll = self.plan.polls.setdefault((server, path), Poll(server, path, every_s))
                poll.every_s = min(poll.every_s, every_s)
                poll.sources.append(source)

    def _sources(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec]
    ) -> list[tuple[str, Own | Shared]]:
        """Return what can be made of the bodies at each path."""
        template = self._path_template(section)
        form = self.form_of(section)
        id_path, each = self.path_of(section, "id"), self.path_of(section, "each")
        makers = self.part_makers(section, kind, members)
        section.end()
        if not template or not members or not makers:
            return []
        if each is not None and id_path is None:
            message = '"each" needs "id": the path that says whose each item is'
            self.problems.error("missing-key", section.where, message)
            return []
        paths = self._filled(section, template, members)
        if paths is None:
            return []
        if id_path is None and len(set(paths)) < len(paths):
            message = f'"{template}" does not say whose a message is'
            mend = 'write "{id}" in "at", or add "id: $.…" for the id in the body'
            self.problems.error("whose", section.path("at"), message, mend)
            return []
        found: list[tuple[tuple[str, ...], EntitySpec, tuple[Part, ...]]] = [
            ((path,), entity, tuple(made for make in makers if (made := make(entity)) is not None))
            for path, entity in zip(paths, members, strict=True)
        ]
        return [(key[0], source) for key, source in grouped(found, form, id_path, each).items()]

    # ── what goes out ────────────────────────────────────────────────────────────────────────

    def _order(
        self, section: Section, kind: Kind, members: Sequence[EntitySpec], *, held: bool
    ) -> None:
        server, template = self._server(section), self._path_template(section)
        method = section.choice("method", "POST" if held else "PUT", WRITE_METHODS)
        name = section.text("point", required=True)
        spec = self.commandable(section, name, kind, held=held) if name else None
        type_ = spec.type if spec is not None and not held else TEXT
        slots = REQUEST_SLOTS if held else WRITE_SLOTS
        content_type = self._content_type(section)
        outlet = self.outlet_of(section, type_, slots, members, held=held)
        section.end()
        if not server or not template or spec is None or outlet is None:
            return
        if not self._check_path(section, template, slots, members[0] if members else None):
            return
        table = self.plan.requests if held else self.plan.writes
        for entity in members:
            point = f"{entity.id}.{name}"
            if is_taken(section, point, table):
                break
            table[point] = Target(
                server,
                method,
                compile_path_template(template),
                outlet,
                Attributes(entity, self.site.name),
                content_type,
            )

    def call(self, section: Section) -> None:
        """Bind one entry under `calls:`."""
        name, server = section.text("call", required=True), self._server(section)
        template = self._path_template(section)
        method = section.choice("method", "POST", METHODS)
        content_type = self._content_type(section)
        status, detail = self.path_of(section, "status"), self.path_of(section, "detail")
        table = self.map_of(section, TEXT, outward=False) if "map" in section else None
        outlet = self.outlet_of(section, TEXT, CALL_SLOTS, (), held=True)
        section.end()
        if not name or not server or not template or outlet is None:
            return
        if not self._check_path(section, template, CALL_SLOTS, None):
            return
        if is_taken(section, name, self.plan.calls, "bound"):
            return
        convert = None if table is None else translate(table)
        path = compile_path_template(template)
        self.plan.calls[name] = Target(
            server, method, path, outlet, {}, content_type, status, detail, convert
        )

    def _content_type(self, section: Section) -> str:
        is_json = not isinstance(section.any("payload", ""), str)
        return section.text("content_type", "application/json" if is_json else "text/plain")

    # ── shared ───────────────────────────────────────────────────────────────────────────────

    def _server(self, section: Section) -> str:
        name = section.text("server")
        known = self.plan.servers
        if not name and len(known) == 1:
            return next(iter(known))
        if not name:
            message = '"server" is missing: which of "servers" it is'
            self.problems.error("missing-key", section.where, message, meant("", known))
        elif name not in known:
            message = f'there is no server "{name}" in this connection'
            self.problems.error("wrong-value", section.path("server"), message, meant(name, known))
            return ""
        return name

    def _path_template(self, section: Section) -> str:
        text = section.text("at", required=True)
        if not text:
            return ""
        if not _PATH.fullmatch(_SLOT.sub("x", text)) or "#" in text or "/../" in f"{text}/":
            message = f'"{text}" is no path'
            mend = 'write "at" like "/lamps/{id}?fields=level", other signs as %20'
            self.problems.error("template", section.path("at"), message, mend)
            return ""
        return text

    def _check_path(
        self, section: Section, template: str, slots: Sequence[str], entity: EntitySpec | None
    ) -> bool:
        return self.check_slots(section, "at", template, slots, entity)

    def _filled(
        self, section: Section, template: str, members: Sequence[EntitySpec]
    ) -> list[str] | None:
        """Return the path of each entity; None when a placeholder has no value."""
        filled = []
        for entity in members:
            values = {n: attribute(entity, n, self.site.name) for n in _SLOT.findall(template)}
            missing = next((name for name, value in values.items() if not value), None)
            if missing is not None:
                message = f'"{{{missing}}}" has no value for "{entity.id}"'
                self.problems.error("placeholder", section.path("at"), message)
                return None
            filled.append(_fill(template, values))
        return filled


def compile_path_template(template: str) -> Render:
    """Return what writes a path; each value is one part of it, whatever signs it has."""
    return lambda values: _fill(template, values).encode()


def _fill(template: str, values: Mapping[str, Any]) -> str:
    return _SLOT.sub(lambda match: quote(text_of(values.get(match[1])), safe=""), template)
