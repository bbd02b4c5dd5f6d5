"""What an OPC UA server shows: objects with variables, below its Objects folder. Nothing is written or called."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import Client, ua

from pilotage.adapter.discovery import Discovery, Found, entity_id, likeness
from pilotage.model.entities import Kind
from pilotage_opcua.binding import Server
from pilotage_opcua.link import TROUBLE, ConnectionLost, connect, words

MOST_NODES: Final = 20_000
DEEPEST: Final = 12
_REFERENCES: Final = ua.ObjectIds.HierarchicalReferences
_CLASSES: Final = ua.NodeClass.Object | ua.NodeClass.Variable


@dataclass(slots=True)
class Thing:
    """An object of the server.

    Attributes:
        path: Browse names from the Objects folder on, its own last.
        variables: Node id as a text, by browse name.
    """

    id: str
    path: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)


async def look(server: Server, seconds: float) -> list[Thing]:
    """Connect, return the objects that have variables, and leave.

    Raises:
        ConnectionLost: The server cannot be reached, or refuses us.
    """
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    client = Client(server.url, timeout=server.timeout_s)
    try:
        await connect(client, server)
        return await browse(client, seconds)
    except TROUBLE as error:
        raise ConnectionLost(f"{server.url}: {words(error)}") from error
    finally:
        with suppress(*TROUBLE):
            await client.disconnect()


async def browse(client: Client, seconds: float) -> list[Thing]:
    """Return the objects that have variables; those of the standard itself are left out.

    Stops after so many seconds or nodes with what it has.
    """
    things: list[Thing] = []
    waiting: list[tuple[Any, tuple[str, ...]]] = [(client.nodes.objects, ())]
    seen: set[Any] = set()
    try:
        async with asyncio.timeout(seconds):
            while waiting and len(seen) < MOST_NODES:
                node, path = waiting.pop(0)
                thing = Thing(path[-1] if path else "", path)
                for child in await node.get_children_descriptions(
                    refs=_REFERENCES, nodeclassmask=_CLASSES
                ):
                    if child.NodeId in seen or child.NodeId.NamespaceIndex == 0:
                        continue
                    seen.add(child.NodeId)
                    name = child.BrowseName.Name
                    if child.NodeClass == ua.NodeClass.Variable:
                        thing.variables[name] = child.NodeId.to_string()
                    elif len(path) < DEEPEST:
                        waiting.append((client.get_node(child.NodeId), (*path, name)))
                if thing.variables and path:
                    things.append(thing)
                elif thing.variables:
                    things += [Thing(n, (n,), {n: i}) for n, i in thing.variables.items()]
    except TimeoutError:
        pass  # what was seen so far is shown
    return things


def propose(things: list[Thing], kinds: Mapping[str, Kind]) -> Discovery:
    """Return what the objects look like: those with the same variables share a binding where their node ids do."""
    alike: dict[tuple[str, ...], list[Thing]] = defaultdict(list)
    for thing in things:
        alike[tuple(sorted(thing.variables))].append(thing)
    found: list[Found] = []
    bindings: list[dict[str, Any]] = []
    notes: list[str] = []
    for names, group in alike.items():
        around = [word for thing in group for word in thing.path[:-1]]
        like = likeness(names, around, kinds)
        kind = like.kind.name if like else ""
        for thing in group:
            seen = f"{'/'.join(thing.path)} with {', '.join(names)}"
            found.append(Found(entity_id(thing.id), kind, "", seen))
        if like is None:
            example = "/".join(group[0].path)
            notes.append(f"{example} ({len(group)} alike): no kind has {', '.join(names)}")
        else:
            bindings += _bindings(group, kind, like.points)
    return Discovery(sorted(found, key=lambda thing: thing.id), bindings, notes)


def _bindings(group: list[Thing], kind: str, points: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield one binding for all things whose node ids differ by their id alone, and one for each of the others."""
    shared: dict[tuple[tuple[str, str], ...], list[Thing]] = defaultdict(list)
    for thing in group:
        nodes = {
            point: thing.variables[name].replace(thing.id, "{id}")
            if entity_id(thing.id) == thing.id
            else thing.variables[name]
            for name, point in points.items()
        }
        shared[tuple(sorted(nodes.items()))].append(thing)
    for same, members in shared.items():
        whose = {"kind": kind} if len(members) > 1 else {"entity": entity_id(members[0].id)}
        yield {**whose, "read": {"points": dict(same)}}
