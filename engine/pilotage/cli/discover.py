"""`pilotage discover`: looks at what is behind a connection and proposes entities to review; nothing is changed."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.cli import add_command
from pilotage.cli.console import FAILED, OK, print_error, print_findings

if TYPE_CHECKING:
    from pilotage.adapter import ConnectionSettings
    from pilotage.adapter.discovery import Discovery, Found
    from pilotage.runtime.plugins import Catalogue

_EXAMPLES: Final = """\
  pilotage discover mqtt -o host=broker.example --seconds 30
  pilotage discover opcua -o url=opc.tcp://plc.example:4840 -o security=none
  pilotage discover street -c config.yaml      a connection of the site, with its secrets
"""
_PLAIN: Final = re.compile(r"[A-Za-z][\w ./-]*(?<! )")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def register(subparsers: Any) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "discover", "propose entities from what a connection shows", _EXAMPLES
    )
    parser.add_argument(
        "what",
        metavar="ADAPTER|CONNECTION",
        help="an adapter (mqtt, opcua), or a connection of config.yaml",
    )
    parser.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the connection; may be repeated",
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="N", help="how long to look (default: 5)"
    )
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the site, for one of its connections"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look around and print the proposal as YAML."""
    from pilotage.adapter.discovery import Discoverer

    catalogue, settings = _settings(arguments)
    if settings is None or catalogue is None:
        return FAILED
    adapters: Mapping[str, object] = catalogue.adapters
    factory = adapters.get(settings.adapter)
    able = sorted(name for name, each in adapters.items() if isinstance(each, Discoverer))
    if not isinstance(factory, Discoverer):
        why = "cannot look around" if settings.adapter in adapters else "is no adapter"
        print_error(f"{settings.adapter} {why}", f"these can look around: {', '.join(able)}")
        return FAILED
    try:
        seen = asyncio.run(factory.discover(settings, catalogue.kinds, arguments.seconds))
    except OSError as error:
        print_error(str(error) or type(error).__name__)
        return FAILED
    print("\n".join(proposal(seen, settings, arguments.seconds)))
    return OK


def proposal(seen: Discovery, settings: ConnectionSettings, seconds: float) -> Iterator[str]:
    """Yield the lines of a proposal: YAML, with what was seen as comments."""
    yield f"# {len(seen.found)} things behind {settings.adapter}, looked at for {seconds:g} s. Nothing was changed."
    yield "# Review each line; then move what you want into the inventory and into config.yaml."
    known = [thing for thing in seen.found if thing.kind]
    yield "inventory:" if known else "inventory: []"
    for thing in seen.found:
        yield _entity(thing)
    yield "connections:"
    yield f"  {settings.name}:"
    yield f"    adapter: {settings.adapter}"
    for key, value in settings.options.items():
        if key not in ("points", "calls"):
            yield f"    {key}: {_shown(value)}"
    yield "    points:" if seen.bindings else "    points: []"
    yield from (f"      - {flow(binding)}" for binding in seen.bindings)
    if seen.notes:
        yield "# Seen, and not understood:"
        yield from (f"#   {_one_line(note)}" for note in seen.notes)


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _entity(thing: Found) -> str:
    named = {"name": thing.name} if thing.name else {}
    if not thing.kind:
        return f"  # - {flow(thing.id)}: {flow({'kind': '?', **named})}  # {_one_line(thing.seen)}"
    return f"  - {flow(thing.id)}: {flow({'kind': thing.kind, **named})}  # {_one_line(thing.seen)}"


def _settings(
    arguments: argparse.Namespace,
) -> tuple[Catalogue | None, ConnectionSettings | None]:
    """Return the plugins and the connection to look through; says itself what is wrong."""
    from pilotage.adapter import ConnectionSettings
    from pilotage.runtime.config import read_settings
    from pilotage.runtime.plugins import load_plugins

    options = _options(arguments.option)
    if options is None:
        return None, None
    if arguments.config is None:
        return load_plugins(), ConnectionSettings(
            arguments.what, arguments.what, options, "--option"
        )
    read = read_settings(arguments.config)
    if read.settings is None:
        print_findings(read.findings, read.sources)
        return None, None
    for connection in read.settings.connections:
        if connection.name == arguments.what:
            more = {**connection.options, **options}
            found = ConnectionSettings(connection.name, connection.adapter, more, connection.place)
            site = read.settings
            return load_plugins(disable=site.disabled, lock=site.lock), found
    names = ", ".join(connection.name for connection in read.settings.connections) or "none"
    print_error(f'there is no connection "{arguments.what}"', f"its connections are: {names}")
    return None, None


def _options(given: Sequence[str]) -> dict[str, Any] | None:
    from pilotage.language.loader import ScalarNode, load

    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            print_error(f'"{text}" is no option', "write --option host=broker.example")
            return None
        node, _ = load(value, "--option")
        options[key] = node.value if isinstance(node, ScalarNode) else value
    return options


def _shown(value: Any) -> str:
    # A secret shows itself as *** and must not be copied as if it were the password.
    return "{secret: NAME}" if str(value) == "***" else flow(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
