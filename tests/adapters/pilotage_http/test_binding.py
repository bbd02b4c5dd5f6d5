"""Every mistake in the settings, with its exact message."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.model.diagnostics import Severity
from pilotage_http.binding import bind

P = "connections.street.points"
S = "connections.street.servers.v"
URL = "https://v.example/api"
LISTEN = {"port": 8470, "secret": "x"}


def poll(**keys: Any) -> dict[str, Any]:
    part = {"at": "/l/{id}", "point": "level", **keys}
    return {"servers": {"v": {"url": URL}}, "points": {"kind": "lamp", "poll": part}}


def hook(listen: dict[str, Any] | None = LISTEN, **keys: Any) -> dict[str, Any]:
    part = {"at": "/l/{id}", "point": "level", **keys}
    base = {"servers": {"v": {"url": URL}}} if listen is None else {"listen": listen}
    return {**base, "points": {"kind": "lamp", "hook": part}}


def write(**keys: Any) -> dict[str, Any]:
    part = {"at": "/l/{id}", "point": "level", **keys}
    return {"servers": {"v": {"url": URL}}, "points": {"kind": "lamp", "write": part}}


def server(**keys: Any) -> dict[str, Any]:
    return {"servers": {"v": {"url": URL, **keys}}}


MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": (
        {},
        "missing-key",
        'connections.street: neither "listen" nor "servers": nothing can come in or go out',
    ),
    "no scheme": (server(url="v.example"), "url", f'{S}.url: "v.example" is no address'),
    "other scheme": (server(url="file:///etc"), "url", f'{S}.url: "file:///etc" is no address'),
    "user": (server(url="https://a:b@v.example"), "url", f"{S}.url: holds a user"),
    "port": (
        server(url="https://v.example:99999"),
        "url",
        f'{S}.url: "https://v.example:99999" is no address: Port out of range 0-65535',
    ),
    "query": (
        server(url="https://v.example/?a=1"),
        "url",
        f'{S}.url: "https://v.example/?a=1" is more than the beginning of an address',
    ),
    "plain": (
        server(url="http://v.example"),
        "insecure",
        f"{S}.url: without https everybody on the way can read and change it",
    ),
    "header": (
        server(headers={"A b": "c"}),
        "wrong-value",
        f'{S}.headers.A b: "A b" is no header of HTTP',
    ),
    "header value": (
        server(headers={"A": "c\r\nX: y"}),
        "wrong-value",
        f'{S}.headers.A: "A" is no header of HTTP',
    ),
    "no ca": (server(ca="/none.pem"), "no-such-file", f'{S}.ca: there is no file "/none.pem"'),
    "key": (
        server(timout=1),
        "unknown-key",
        f'{S}: "timout" is no option here',
    ),
    "unsigned": (
        hook({"port": 8470}),
        "insecure",
        f"{P}.hook: without a secret anybody can say anything here",
    ),
    "nobody listens": (
        hook(None, secret="x"),
        "missing-key",
        f'{P}.hook: nobody listens: "listen" is missing',
    ),
    "far": (
        hook({**LISTEN, "host": "0.0.0.0"}),
        "insecure",
        "connections.street.listen: without TLS everybody on the way to 0.0.0.0 can read what is sent",
    ),
    "no certificate": (
        hook({**LISTEN, "tls": {"certificate": "/none.pem", "key": "/none.key"}}),
        "no-such-file",
        'connections.street.listen.tls.certificate: there is no file "/none.pem"',
    ),
    "whose": (
        poll(at="/all"),
        "whose",
        f'{P}.poll.at: "/all" does not say whose a message is',
    ),
    "each without id": (
        poll(at="/all", each="$.items"),
        "missing-key",
        f'{P}.poll: "each" needs "id": the path that says whose each item is',
    ),
    "no path": (poll(at="l/{id}"), "template", f'{P}.poll.at: "l/{{id}}" is no path'),
    "up": (poll(at="/a/../{id}"), "template", f'{P}.poll.at: "/a/../{{id}}" is no path'),
    "blank": (poll(at="/a b/{id}"), "template", f'{P}.poll.at: "/a b/{{id}}" is no path'),
    "placeholder": (
        poll(at="/l/{idd}"),
        "placeholder",
        f'{P}.poll.at: "{{idd}}" has no value for "lamp-1"',
    ),
    "placeholder of an order": (
        write(at="/l/{valu}"),
        "placeholder",
        f'{P}.write.at: "{{valu}}" stands for nothing here',
    ),
    "server": (
        poll(server="w"),
        "wrong-value",
        f'{P}.poll.server: there is no server "w" in this connection',
    ),
    "method": (
        write(method="TRACE"),
        "wrong-value",
        f'{P}.write.method: "TRACE" is not known here',
    ),
    "unknown point": (poll(point="levl"), "unknown-point", f'{P}.poll: a lamp has no point "levl"'),
    "not commandable": (
        write(point="power"),
        "not-commandable",
        f'{P}.write.point: "lamp.power" is reported: nobody can set it',
    ),
    "codec": (poll(codec="x"), "codec", f'{P}.poll.codec: there is no codec "x"'),
    "no qos": (write(qos=1), "unknown-key", f'{P}.write: "qos" is no option here'),
    "binds nothing": (
        {"servers": {"v": {"url": URL}}, "points": {"kind": "lamp"}},
        "missing-key",
        f"{P}: binds nothing",
    ),
    "two secrets": (
        {
            "listen": LISTEN,
            "points": [
                {"entity": "lamp-1", "hook": {"at": "/l", "point": "level"}},
                {"entity": "lamp-2", "hook": {"at": "/l", "point": "level", "secret": "y"}},
            ],
        },
        "two-secrets",
        f'{P}[1].hook: "/l" is bound before with another secret',
    ),
    "call twice": (
        {
            "servers": {"v": {"url": URL}},
            "calls": [{"call": "a", "at": "/a"}, {"call": "a", "at": "/b"}],
        },
        "two-writers",
        'connections.street.calls[1]: "a" is bound twice',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_finding(name: str, make_settings: Any, city: Any) -> None:
    """A mistake gives its finding, at its place."""
    options, code, message = MISTAKES[name]
    _, findings = bind(make_settings(**options), city)
    assert (code, message) == (findings[0].code, findings[0].message)
    assert findings[0].severity is Severity.ERROR
    assert len(findings) == (2 if name == "no certificate" else 1)


def test_all_at_once(make_settings: Any, city: Any) -> None:
    """All mistakes of a connection are told together."""
    options = {**poll(at="l", point="levl"), "listen": {"port": 0}, "more": 1}
    _, findings = bind(make_settings(**options), city)
    codes = {"out-of-range", "template", "unknown-point", "unknown-key"}
    assert {finding.code for finding in findings} == codes


@pytest.mark.parametrize("junk", [5, "x", [], [5], {}, {"a": 1}, None, True, [[]]])
@pytest.mark.parametrize("key", ["listen", "servers", "points", "calls"])
def test_any_type(key: str, junk: object, make_settings: Any, city: Any) -> None:
    """Whatever stands there, it becomes findings, never an exception."""
    bind(make_settings(**{**poll(), key: junk}), city)


def test_secrets_are_not_shown(make_settings: Any, city: Any) -> None:
    """Neither the secret of a hook nor a header is in what is printed of a plan."""
    options = {**hook({"port": 8470, "secret": "hush"}), **server(headers={"A": "hush"})}
    plan, findings = bind(make_settings(**options), city)
    assert not findings
    assert "hush" not in f"{plan}"
