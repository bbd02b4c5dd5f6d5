"""A real OPC UA server in a process of its own, as a junction controller would be one; told through a pipe.

The standard nodes take a second and a half to make: they are made once, in the process that servers are forked from.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.methods import uamethod
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space.standard_address_space import fill_address_space
from asyncua.server.user_managers import User, UserRole

NAMESPACE = "urn:city:plc"
LAMPS = ("lamp-1", "lamp-2", "lamp-3")


STANDARD = AddressSpace()
fill_address_space(NodeManagementService(STANDARD))


class Ready(InternalServer):  # type: ignore[misc]
    """A server whose standard nodes are there; there is one in a process."""

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        self.aspace._nodes = STANDARD._nodes


class Users:
    """One user with one password, or with one certificate; nobody else comes in."""

    def __init__(self, known: str = "") -> None:
        self.known = Path(known).read_bytes() if known else b""

    def get_user(
        self, _server: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        # With a name the library hands in the certificate of the application.
        is_known = (
            (username, password) == ("city", "secret")
            if username
            else (bool(self.known) and certificate == self.known)
        )
        return User(role=UserRole.User) if is_known else None


class Plc:
    """The nodes of a small city, and what a test may do to them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.calls: list[list[Any]] = []
        self.nodes: dict[str, Any] = {}

    async def start(self) -> None:
        settings = self.settings
        users = Users(settings.get("user", "")) if settings.get("users") else None
        self.server = Server(iserver=Ready(user_manager=users))
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{settings['port']}")
        if "certificate" in settings:
            await self.server.set_application_uri("urn:city:plc:server")
            await self.server.load_certificate(settings["certificate"])
            await self.server.load_private_key(settings["key"])
            names = ("Basic256Sha256", "Aes256Sha256RsaPss")
            policies = [getattr(ua.SecurityPolicyType, f"{n}_SignAndEncrypt") for n in names]
            self.server.set_security_policy(policies)
        else:
            self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self.index = await self.server.register_namespace(NAMESPACE)
        self.city = await self.server.nodes.objects.add_object(
            ua.NodeId("City", self.index), f"{self.index}:City"
        )
        for lamp in LAMPS:
            folder = await self.city.add_object(
                ua.NodeId(f"City.{lamp}", self.index), f"{self.index}:{lamp}"
            )
            await self.add(f"City.{lamp}.Level", 10, ua.VariantType.UInt16, folder, "Level")
            await self.add(f"City.{lamp}.Power", 1.5, ua.VariantType.Double, folder, "Power")
            await self.add(f"City.{lamp}.Broken", False, ua.VariantType.Boolean, folder, "Broken")
            await self.add(f"City.{lamp}.State", 1, ua.VariantType.Int32, folder, "State")
        for number in range(settings.get("many", 0)):
            await self.add(f"many.{number}", float(number), ua.VariantType.Double, self.city)
        await self.city.add_method(
            ua.NodeId("City.Dispatch", self.index),
            f"{self.index}:Dispatch",
            uamethod(self.dispatch),
            [ua.VariantType.String, ua.VariantType.UInt16],
            [ua.VariantType.Int32, ua.VariantType.String],
        )
        if "slowest_ms" in settings:
            self.slow_down(settings["slowest_ms"])
        await self.server.start()

    def slow_down(self, slowest_ms: float) -> None:
        """Give no subscription a shorter interval, as small controllers do."""
        service = self.server.iserver.subscription_service
        create = service.create_subscription

        async def slower(params: Any, *more: Any, **keys: Any) -> Any:
            params.RequestedPublishingInterval = max(params.RequestedPublishingInterval, slowest_ms)
            return await create(params, *more, **keys)

        service.create_subscription = slower

    async def add(
        self, name: str, value: Any, type_: ua.VariantType, parent: Any = None, browse: str = ""
    ) -> None:
        node = await (parent or self.city).add_variable(
            ua.NodeId(name, self.index), f"{self.index}:{browse or name}", value, type_
        )
        await node.set_writable()
        self.nodes[name] = node

    async def dispatch(self, _parent: Any, vehicle: str, count: int) -> Any:
        self.calls.append([vehicle, count])
        if vehicle == "broken":
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadInvalidArgument))
        await asyncio.sleep(self.settings.get("slow", 0))
        return (7, "no driver") if vehicle == "nobody" else (0, "on its way")

    async def obey(self, order: dict[str, Any]) -> Any:
        name = order.get("node", "")
        match order["do"]:
            case "set":
                value = ua.Variant(order["value"], ua.VariantType[order.get("type", "UInt16")])
                data = ua.DataValue(value, ua.StatusCode(ua.UInt32(order.get("status", 0))))
                data.SourceTimestamp = datetime.now(UTC) - timedelta(seconds=order.get("age", 0))
                await self.server.write_attribute_value(self.nodes[name].nodeid, data)
            case "get":
                value = await self.nodes[name].read_data_value(raise_on_bad_status=False)
                return [value.Value.Value, value.Value.VariantType.name]
            case "lock":
                await self.nodes[name].set_writable(False)
            case "delete":
                await self.server.delete_nodes([self.nodes.pop(name)])
            case "add":
                await self.add(name, order["value"], ua.VariantType[order.get("type", "UInt16")])
            case "storm":
                for turn in range(order["rounds"]):
                    for key, node in self.nodes.items():
                        if key.startswith("many."):
                            value = ua.DataValue(
                                ua.Variant(float(turn) + 0.5, ua.VariantType.Double)
                            )
                            value.SourceTimestamp = datetime.now(UTC)
                            await self.server.write_attribute_value(node.nodeid, value)
                    await asyncio.sleep(order["pause"])
            case "calls":
                return self.calls
            case "sessions":
                return len(self.server.iserver.isession.iserver.subscription_service.subscriptions)
        return None


async def obey(settings: dict[str, Any], pipe: Connection) -> None:
    """Serve, and answer each order, until the pipe is closed."""
    plc = Plc(settings)
    await plc.start()
    pipe.send("ready")
    loop = asyncio.get_running_loop()
    while True:
        try:
            order = await loop.run_in_executor(None, pipe.recv)
        except EOFError:
            return
        try:
            answer = await plc.obey(order)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        pipe.send(answer)


def serve(settings: dict[str, Any], pipe: Connection) -> None:
    """Be the process; it says nothing."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    asyncio.run(obey(settings, pipe))
