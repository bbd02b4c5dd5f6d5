"""What `web:` in `config.yaml` says: where the pages listen, how browsers reach them, and who may speak for a client.

Beyond the machine itself pages go over TLS: their own, or that of a proxy whose word is trusted by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pilotage.language import findings as say
from pilotage.language.loader import MapNode, Node, ScalarNode
from pilotage.model.addresses import is_loopback
from pilotage.model.diagnostics import Span
from pilotage.runtime import findings as site
from pilotage.runtime.forms import Report

_LISTEN: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
_EVERYWHERE: Final = ("0.0.0.0", "::")
LEAST_KEY_BYTES: Final = 32
"""A key file holds so many; the pages ask for the same."""
_MOST_KEY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """The identity provider: its address, how it knows the pages, which claim is a name here, what people call it."""

    issuer: str
    client: str
    secret: Path
    claim: str
    title: str


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The pages of the control room.

    Attributes:
        host: Address to listen on, without brackets.
        port: Port to listen on.
        address: How browsers reach them; empty when that is where they listen.
        certificate: File with the certificate and its chain, for TLS of their own.
        key: File with its key.
        trusted: Addresses and networks of the proxies before them.
        second_factor: Whether everybody needs a second factor.
        provider: Through which people may sign in; None for none.
        map: GeoJSON that lies under the equipment on the map; None for none.
        contact: Whom to tell what keeps somebody from using them.
        people_key: File with the key under which second factors are sealed; None for none.
        outlive_s: How long they still answer after the engine's process has gone, in seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    address: str = ""
    certificate: Path | None = None
    key: Path | None = None
    trusted: tuple[str, ...] = ()
    outlive_s: float = 300.0
    second_factor: bool = True
    provider: ProviderSettings | None = None
    contact: str = ""
    map: Path | None = None
    people_key: Path | None = None


def parse_listen(text: str) -> tuple[str, int] | None:
    """Return the host and the port of `HOST:PORT`, or None when it is not that; an IPv6 address stands in brackets."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        return None
    return match["host"].strip("[]").lower(), int(match["port"])


def read_web(root: MapNode, values: Mapping[str, Any], report: Report) -> WebSettings | None:
    """Return what `web:` says, None when it is not there: the engine runs without pages then."""
    node = root.get("web")
    if node is None:
        return None
    here = node if isinstance(node, MapNode) else MapNode(node.source, 1, 1, 0, 0, [])
    host, port = values["web.listen"] or ("127.0.0.1", 8080)
    settings = WebSettings(
        host,
        port,
        (values["web.address"] or "").rstrip("/").lower(),
        values["web.certificate"],
        values["web.key"],
        tuple(values["web.trusted"] or {}),
        values["web.outlive"] if values["web.outlive"] is not None else 300.0,
        values["web.second_factor"] != "optional",
        _provider(here, values, report),
        values["web.contact"] or "",
        values["web.map"],
        values["web.people_key"],
    )
    _check(settings, bool(values["web.behind_proxy"]), node, here, values, report)
    return settings


def _provider(here: MapNode, values: Mapping[str, Any], report: Report) -> ProviderSettings | None:
    """Return the identity provider, None when there is none or something is wrong with it."""
    node = here.get("provider")
    if not isinstance(node, MapNode):
        return None
    missing = [key for key in ("issuer", "client", "secret") if not values[f"web.provider.{key}"]]
    for key in missing:
        report.add(say.missing_key(node.at, key, "the identity provider", f"{key}: ..."))
    if missing:
        return None
    issuer, secret = values["web.provider.issuer"], values["web.provider.secret"]
    parts = urlsplit(issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        report.add(site.provider_in_clear((node.get("issuer") or node).at, issuer))
    if not secret.is_file():
        report.add(site.path_missing((node.get("secret") or node).at, str(secret), []))
    elif secret.stat().st_mode & 0o077:
        report.add(site.provider_secret_open((node.get("secret") or node).at, str(secret)))
    client, claim, title = (values[f"web.provider.{key}"] for key in ("client", "claim", "title"))
    return ProviderSettings(issuer, client, secret, claim, title or "")


def _check(
    web: WebSettings,
    behind_proxy: bool,
    node: Node,
    here: MapNode,
    values: Mapping[str, Any],
    report: Report,
) -> None:
    """Add what is wrong with the settings among each other."""
    at = (here.get("listen") or node).at
    has_tls = web.certificate is not None and web.key is not None
    if not is_loopback(web.host) and not has_tls and not behind_proxy:
        report.add(site.pages_in_clear(at, f"{web.host}:{web.port}"))
    for name, other in (("certificate", "key"), ("key", "certificate")):
        if here.get(name) is not None and here.get(other) is None:
            report.add(site.half_of_tls((here.get(name) or node).at, name, other))
    for name, path in (
        ("certificate", web.certificate),
        ("key", web.key),
        ("map", web.map),
    ):
        if path is not None and not path.is_file():
            report.add(site.path_missing((here.get(name) or node).at, str(path), []))
    if web.people_key is not None:
        _check_key(web.people_key, (here.get("people_key") or node).at, report)
    if behind_proxy and not web.trusted:
        report.add(site.proxy_without_trust((here.get("behind_proxy") or node).at))
    if web.trusted and not behind_proxy:
        report.add(site.trust_without_proxy((here.get("trusted") or node).at))
    for written, place in (values["web.trusted"] or {}).items():
        if not _is_narrow(written):
            report.add(site.bad_trusted(place, written))
    _check_address(web, behind_proxy, node, here, report)


def _check_key(path: Path, at: Span, report: Report) -> None:
    """Add what is wrong with a key file: it is not there, others can read it, or it is no key."""
    try:
        with path.open("rb") as file:
            is_open = os.fstat(file.fileno()).st_mode & 0o077
            key = file.read(_MOST_KEY_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        report.add(site.path_missing(at, str(path), []))
        return
    except OSError as error:
        report.add(site.key_unfit(at, str(path), str(error.strerror)))
        return
    if is_open:
        report.add(site.provider_secret_open(at, str(path)))
    if len(key.strip()) < LEAST_KEY_BYTES:
        why = f"it has {len(key.strip())} bytes, and a key has {LEAST_KEY_BYTES} at least"
        report.add(site.key_unfit(at, str(path), why))


def _check_address(
    web: WebSettings, behind_proxy: bool, node: Node, here: MapNode, report: Report
) -> None:
    written = here.get("address")
    if written is None or (isinstance(written, ScalarNode) and written.is_null):
        if behind_proxy or web.host in _EVERYWHERE:
            report.add(site.pages_without_address((here.get("listen") or node).at))
        return
    parts = urlsplit(web.address)
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in ("http", "https") or not parts.hostname or plain != web.address:
        report.add(site.bad_pages_address(written.at, web.address))
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        report.add(site.pages_in_clear(written.at, web.address))


def _is_narrow(text: str) -> bool:
    """True for an address or a network that is not the whole world."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return False
    return network.prefixlen >= 8
