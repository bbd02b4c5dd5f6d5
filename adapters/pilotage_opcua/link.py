"""One client of one connection, from `open` until `down`, used once: nodes found, subscriptions made, silence noticed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from asyncua import Client, ua
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties, InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509 import load_der_x509_certificate

from pilotage.adapter import Door
from pilotage_opcua.binding import Plan, Server
from pilotage_opcua.codec import GONE, Address
from pilotage_opcua.intake import Clock, Intake, Watched, seconds_of

log: Final = logging.getLogger("pilotage.opcua")

LOOK_S: Final = 0.25
"""How often silence is looked for."""
KEEPALIVE_S: Final = 1.0
SKEW_S: Final = 2.0
"""A server whose clock is further off than this is named in the log."""
RETRY_S: Final = 30.0
"""A node that is not there is looked for again after this, or sooner with a shorter `refresh`."""
SUBSCRIPTION_LIFE_S: Final = 60.0
SESSION_MS: Final = 30_000
NAMED: Final = 3

_CURRENT_TIME: Final = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
_LIMITS: Final[Mapping[str, int]] = {
    "items": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    "reads": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    "paths": ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
}
_HEARTBEAT: Final = 0
TROUBLE: Final = (ua.UaError, OSError, TimeoutError, ValueError, InvalidSignature)

T = TypeVar("T")


class ConnectionLost(ConnectionError):
    """The server cannot be reached, refused us, or is gone; the text says which."""


def words(error: BaseException) -> str:
    """Return what went wrong, as people read it."""
    if isinstance(error, ua.UaStatusCodeError):
        return f"{ua.status_codes.get_name_and_doc(error.code)[0]}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, InvalidSignature):
        return "its signature does not match the server_certificate"
    return str(error) or type(error).__name__


async def connect(client: Client, server: Server) -> None:
    """Connect with the security that is configured; raises what the library raises."""
    client.session_timeout = SESSION_MS
    client.name = client.description = "pilotage"
    client.application_uri = server.security.application_uri
    if server.username:
        client.set_user(server.username)
        client.set_password(server.password)
    if server.security.policy != "none":
        security = server.security
        await client.set_security(
            getattr(security_policies, f"SecurityPolicy{security.policy}"),
            CertProperties(security.certificate, "der"),
            CertProperties(security.key, "der"),
            server_certificate=CertProperties(await _trusted(server), "der"),
            mode=ua.MessageSecurityMode[security.mode],
        )
        if security.user_certificate:
            user_key: Any = load_der_private_key(security.user_key, None)
            client.user_certificate = load_der_x509_certificate(security.user_certificate)
            client.user_private_key = user_key
    async with asyncio.timeout(server.timeout_s * 2):
        await client.connect()


async def _trusted(server: Server) -> bytes:
    """Return the trusted certificate that the server has; of several, the server says which.

    Raises:
        ConnectionLost: It has none of them.
    """
    trusted = server.security.trusted
    if len(trusted) == 1:
        return trusted[0]
    asking = Client(server.url, timeout=server.timeout_s)
    async with asyncio.timeout(server.timeout_s):
        endpoints = await asking.connect_and_get_server_endpoints()
    for endpoint in endpoints:
        # It only says so here; the secure channel that follows proves it.
        if endpoint.ServerCertificate in trusted:
            return bytes(endpoint.ServerCertificate)
    raise ConnectionLost(f"{server.url}: the server has none of the certificates that are trusted")


class Link:
    """One client, from `open` until `down`; used once.

    Attributes:
        down: Its result says why the link was lost.
        has_reported: True when points may have values from here.
        too_slow: Ids of the points that the server samples or publishes more slowly than they need.
    """

    def __init__(self, plan: Plan, intake: Intake, door: Door, name: str, now: Clock) -> None:
        server = plan.server
        self.down: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.has_reported = False
        self.too_slow: list[str] = []
        self._plan = plan
        self._intake = intake
        self._door = door
        self._name = name
        self._now = now
        self._nodes: dict[Address, Any] = {}
        self._types: dict[Address, ua.VariantType] = {}
        self._inputs: dict[Any, list[ua.VariantType] | None] = {}
        self._limits = dict.fromkeys(_LIMITS, server.batch)
        self._watched = {
            point: Watched(item, _refresh_s(item.point.spec.max_age_s, server.refresh_s))
            for point, item in plan.items.items()
        }
        self._look_s = _look_s(watched.refresh_s for watched in self._watched.values())
        self._handles: dict[int, Watched] = {}
        self._next_handle = itertools.count(1)
        self._subscriptions: dict[float, int] = {}
        self._heard: dict[int, float] = {}
        self._patience: dict[int, float] = {}
        self._given: dict[float, float] = {}
        self._samplings: set[float] = set()
        # Nobody's time counts: then it does not matter which time the server has.
        self._knows_skew = all(item.stamps == "never" for item in plan.items.values())
        self._tasks: list[asyncio.Task[None]] = []
        self._client = Client(
            server.url, timeout=server.timeout_s, watchdog_intervall=server.silence_s
        )

    # ── opening ──────────────────────────────────────────────────────────────────────────────

    async def open(self) -> str:
        """Connect, find the nodes, subscribe and read every value once; return what was agreed.

        Raises:
            ConnectionLost: That did not succeed; the text says why.
        """
        url = self._plan.server.url
        try:
            self._client.connection_lost_callback = self._on_lost
            await connect(self._client, self._plan.server)
        except TROUBLE as error:
            raise ConnectionLost(f"cannot connect to {url}: {words(error)}") from error
        try:
            await self._read_limits()
            await self._find(self._plan.addresses)
            await self._subscribe_all()
            await self._read_all()
            await self._learn_types()
        except TROUBLE as error:
            raise ConnectionLost(f"{url}: {words(error)}") from error
        if self.down.done():
            raise ConnectionLost(self.down.result())
        self._tasks = [
            asyncio.ensure_future(self._listen_for_silence()),
            asyncio.ensure_future(self._refresh()),
        ]
        self._warn_of_slow()
        return self._detail()

    async def _read_limits(self) -> None:
        """Ask how much fits into one request; a server that does not say takes what is configured."""
        found = await self._values([ua.NodeId(number) for number in _LIMITS.values()])
        for name, data in zip(_LIMITS, found, strict=True):
            most = data.Value.Value if data.Value is not None else None
            if isinstance(most, int) and most > 0:
                self._limits[name] = min(self._limits[name], most)

    async def _find(self, addresses: Sequence[Address]) -> None:
        """Find the ids of nodes on this server; None for what is not there."""
        uris: list[str] = []
        if any(isinstance(address.namespace, str) for address in addresses):
            (data,) = await self._values([ua.NodeId(ua.ObjectIds.Server_NamespaceArray)])
            uris = list(data.Value.Value) if data.Value is not None else []
        for address in addresses:
            if not address.is_path:
                self._nodes[address] = _node_id(address, uris)
        paths = [address for address in addresses if address.is_path]
        for part in _batches(paths, self._limits["paths"]):
            answers = await self._client.uaclient.translate_browsepaths_to_nodeids(
                [_browse_path(address) for address in part]
            )
            for address, answer in zip(part, answers, strict=True):
                is_found = answer.StatusCode.is_good() and answer.Targets
                self._nodes[address] = answer.Targets[0].TargetId if is_found else None

    # ── subscriptions ────────────────────────────────────────────────────────────────────────

    async def _subscribe_all(self) -> None:
        by_interval: dict[float, list[Watched]] = {}
        for watched in self._watched.values():
            by_interval.setdefault(watched.item.publishing_s, []).append(watched)
        if not by_interval or min(by_interval) > KEEPALIVE_S:
            by_interval[KEEPALIVE_S] = []
        for publishing_s, members in sorted(by_interval.items()):
            await self._subscribe(publishing_s)
            for part in _batches(members, self._limits["items"]):
                await self._watch(part)

    async def _subscribe(self, publishing_s: float) -> None:
        """Make a subscription that watches the server's clock, so that it is never silent."""
        keepalive = max(1, round(KEEPALIVE_S / publishing_s))
        asked = ua.CreateSubscriptionParameters()
        asked.RequestedPublishingInterval = publishing_s * 1000
        asked.RequestedMaxKeepAliveCount = keepalive
        asked.RequestedLifetimeCount = max(keepalive * 3, round(SUBSCRIPTION_LIFE_S / publishing_s))
        asked.MaxNotificationsPerPublish = 0
        asked.PublishingEnabled = True
        given = await self._client.uaclient.create_subscription(asked, self._on_publish)
        number, given_s = given.SubscriptionId, given.RevisedPublishingInterval / 1000
        self._subscriptions[publishing_s] = number
        self._given[publishing_s] = given_s
        self._patience[number] = max(self._plan.server.silence_s, given_s * 3 + KEEPALIVE_S)
        self._heard[number] = time.monotonic()
        await self._create(number, [_monitored(_CURRENT_TIME, _HEARTBEAT, KEEPALIVE_S / 2, 1)])

    async def _create(self, number: int, items: list[Any]) -> list[Any]:
        params = ua.CreateMonitoredItemsParameters()
        params.SubscriptionId = number
        params.TimestampsToReturn = ua.TimestampsToReturn.Both
        params.ItemsToCreate = items
        return list(await self._client.uaclient.create_monitored_items(params))

    async def _watch(self, members: Sequence[Watched]) -> None:
        """Have the server watch nodes of one publishing interval; one that it does not have is bad, and no other."""
        there: list[Watched] = []
        for watched in members:
            watched.node_id = self._nodes.get(watched.item.address)
            if watched.node_id is None:
                self._gone(watched, "the server has no such node")
            else:
                there.append(watched)
        if not there:
            return
        requests = []
        for watched in there:
            watched.handle = next(self._next_handle)
            watched.is_new = True
            self._handles[watched.handle] = watched  # a value may come before the answer
            requests.append(
                _monitored(
                    watched.node_id,
                    watched.handle,
                    watched.item.sampling_s,
                    self._plan.server.queue,
                )
            )
        number = self._subscriptions[there[0].item.publishing_s]
        for watched, result in zip(there, await self._create(number, requests), strict=True):
            if result.StatusCode.is_good():
                self._check_speed(watched, result.RevisedSamplingInterval / 1000)
            else:
                self._gone(watched, result.StatusCode.name)

    def _gone(self, watched: Watched, why: str) -> None:
        self._handles.pop(watched.handle, None)
        watched.handle = 0
        self.has_reported = True
        self._intake.gone(watched, why)

    def _check_speed(self, watched: Watched, sampling_s: float) -> None:
        spec = watched.item.point.spec
        self._samplings.add(sampling_s)
        slowest = sampling_s + self._given[watched.item.publishing_s]
        needed = min(spec.max_age_s or float("inf"), spec.every_s or float("inf"))
        if slowest > needed and slowest > watched.item.sampling_s + watched.item.publishing_s:
            self.too_slow.append(watched.item.point.id)

    def _warn_of_slow(self) -> None:
        if self.too_slow:
            named = ", ".join(self.too_slow[:NAMED]) + (", …" if len(self.too_slow) > NAMED else "")
            log.warning(
                "connection %s: the server gives longer intervals than were asked, and %d points need news sooner: %s",
                self._name,
                len(self.too_slow),
                named,
                extra={"event": "opcua.intervals", "about": self._name},
            )

    def _detail(self) -> str:
        """Return what was agreed with the server, for people."""
        given = ", ".join(
            f"{given:g} s" + (f" (asked {asked:g} s)" if abs(given - asked) > 1e-6 else "")
            for asked, given in sorted(self._given.items())
        )
        sampled = ""
        if self._samplings:
            low, high = min(self._samplings), max(self._samplings)
            sampled = f", sampled every {low:g} s" + (f" to {high:g} s" if high > low else "")
        server = self._plan.server
        missing = sum(watched.is_gone for watched in self._watched.values())
        return (
            f"{server.url}, security {server.security.policy}, {len(self._handles)} items"
            + (f" ({missing} nodes missing)" if missing else "")
            + f", published every {given}{sampled}"
            + (f", {len(self.too_slow)} points slower than they must be" if self.too_slow else "")
        )

    # ── what the server says ─────────────────────────────────────────────────────────────────

    async def _on_lost(self, error: Exception) -> None:
        is_closed = isinstance(error, ConnectionError)
        self._end("the connection was closed" if is_closed else f"link lost: {words(error)}")

    def _on_publish(self, result: Any) -> None:
        self._heard[result.SubscriptionId] = time.monotonic()
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                for change in notification.MonitoredItems:
                    self._on_change(change.ClientHandle, change.Value)
            elif isinstance(notification, ua.StatusChangeNotification):
                self._end(f"the server ended the subscription: {notification.Status.name}")

    def _on_change(self, handle: int, data: Any) -> None:
        if handle == _HEARTBEAT:
            self._check_clock(data)
            return
        watched = self._handles.get(handle)
        if watched is None or data is None:
            return
        self.has_reported = True
        self._intake.notified(watched, data)
        if watched.is_gone:
            self._handles.pop(handle, None)
            watched.handle = 0

    def _check_clock(self, data: Any) -> None:
        if self._knows_skew or data.Value is None:
            return
        self._knows_skew = True
        with suppress(AttributeError, TypeError):
            skew = seconds_of(data.Value.Value) - self._now()
            if abs(skew) > SKEW_S:
                log.warning(
                    "connection %s: the server's clock is %.0f s %s ours",
                    self._name,
                    abs(skew),
                    "ahead of" if skew > 0 else "behind",
                    extra={"event": "opcua.clock", "about": self._name},
                )

    async def _listen_for_silence(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            late = now - before - LOOK_S
            for number, heard in self._heard.items():
                # When we were busy ourselves, what the server said may wait in the socket.
                if now - heard > self._patience[number] + late:
                    self._end(f"nothing heard for {now - heard:.1f} s")
                    return

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def _values(
        self, node_ids: Sequence[Any], attribute: ua.AttributeIds = ua.AttributeIds.Value
    ) -> list[Any]:
        if not node_ids:
            return []
        params = ua.ReadParameters()
        params.TimestampsToReturn = ua.TimestampsToReturn.Both
        params.NodesToRead = [
            ua.ReadValueId(NodeId=node_id, AttributeId=attribute) for node_id in node_ids
        ]
        return list(await self._client.uaclient.read(params))

    async def _read_all(self) -> None:
        await self._read([w for w in self._watched.values() if w.handle])

    async def _read(self, members: Sequence[Watched]) -> None:
        for part in _batches(members, self._limits["reads"]):
            found = await self._values([watched.node_id for watched in part])
            self.has_reported = True
            for watched, data in zip(part, found, strict=True):
                self._intake.read(watched, data)
                if watched.is_gone:
                    self._handles.pop(watched.handle, None)
                    watched.handle = 0

    async def _refresh(self) -> None:
        """Read again what was not heard of for long, and look again for what was not there."""
        try:
            while True:
                await asyncio.sleep(self._look_s)
                try:
                    await self._refresh_once()
                except TROUBLE as error:
                    # Whether the link still lives is for the server's clock to say.
                    self._door.refused(f"{self._name}: reading again", words(error))
                    await asyncio.sleep(KEEPALIVE_S)
        except Exception as error:
            self._end(f"cannot read: {type(error).__name__}: {error}")

    async def _refresh_once(self) -> None:
        now = time.monotonic()
        every = self._watched.values()
        await self._read([w for w in every if w.handle and now - w.heard >= w.refresh_s])
        lost = [w for w in every if not w.handle and now - w.heard >= min(w.refresh_s, RETRY_S)]
        if lost:
            await self._look_again(lost)

    async def _look_again(self, lost: Sequence[Watched]) -> None:
        for watched in lost:
            watched.heard = time.monotonic()
        await self._find([watched.item.address for watched in lost])
        found = [w for w in lost if self._nodes[w.item.address] is not None]
        for watched in found:
            watched.node_id = self._nodes[watched.item.address]
        back = []
        for part in _batches(found, self._limits["reads"]):
            answers = await self._values([w.node_id for w in part])
            back += [w for w, data in zip(part, answers, strict=True) if not _is_gone(data)]
        for _, members in itertools.groupby(
            sorted(back, key=lambda w: w.item.publishing_s), lambda w: w.item.publishing_s
        ):
            for part in _batches(list(members), self._limits["items"]):
                await self._watch(part)
        await self._read([watched for watched in back if watched.handle])

    async def read_back(self, point: str) -> None:
        """Read a point right after it was written and hand the value in; silent when nothing reads it here."""
        watched = self._watched.get(point)
        if watched is None or not watched.handle:
            return
        with suppress(*TROUBLE):
            await self._read([watched])

    # ── orders ───────────────────────────────────────────────────────────────────────────────

    def node_id(self, address: Address) -> Any:
        """Return the id of a node on this server, or None."""
        return self._nodes.get(address)

    async def type_of(self, address: Address) -> ua.VariantType | None:
        """Return the built-in type of a node, or None when it is not there."""
        if address not in self._types:
            with suppress(*TROUBLE):
                await self._find([address])
                await self._learn([address])
        return self._types.get(address)

    async def _learn_types(self) -> None:
        wanted = dict.fromkeys(write.address for write in self._plan.writes.values())
        for part in _batches(list(wanted), self._limits["reads"]):
            await self._learn(part)

    async def _learn(self, addresses: Sequence[Address]) -> None:
        """Learn the types of nodes: from what they hold, or else from what they are declared to hold."""
        there = [address for address in addresses if self._nodes.get(address) is not None]
        nodes = [self._nodes[address] for address in there]
        held = await self._values(nodes)
        declared = await self._values(nodes, ua.AttributeIds.DataType)
        for address, value, type_ in zip(there, held, declared, strict=True):
            if value.Value is not None and value.Value.VariantType is not ua.VariantType.Null:
                self._types[address] = value.Value.VariantType
            elif type_.Value is not None and type_.Value.Value is not None:
                self._types[address] = await self._built_in(type_.Value.Value)

    async def _built_in(self, data_type: Any) -> ua.VariantType:
        """Return the built-in type of a data type; `Variant`, which is never written, for one that has none."""
        number = data_type.Identifier
        if data_type.NamespaceIndex == 0 and isinstance(number, int) and 0 < number <= 21:
            return ua.VariantType(number)
        try:
            return await data_type_to_variant_type(self._client.get_node(data_type))
        except (ua.UaError, ValueError, TypeError, AttributeError):
            return ua.VariantType.Variant

    async def write(self, node_id: Any, variant: ua.Variant) -> Any:
        """Write a value and return the server's status for it.

        Raises:
            ConnectionLost: There was no answer: it may have been done or not.
        """
        value = ua.WriteValue()
        value.NodeId = node_id
        value.AttributeId = ua.AttributeIds.Value
        value.Value = ua.DataValue(variant)
        # Many controllers refuse a value that brings its status or a time.
        value.Value.StatusCode = None
        params = ua.WriteParameters()
        params.NodesToWrite = [value]
        try:
            return (await self._client.uaclient.write(params))[0]
        except ua.UaStatusCodeError as error:
            return ua.StatusCode(ua.UInt32(error.code))
        except TROUBLE as error:
            raise ConnectionLost(words(error)) from error

    async def call(self, owner: Any, method: Any, arguments: list[ua.Variant]) -> Any:
        """Call a method and return its result.

        Raises:
            ConnectionLost: There was no answer: it may have been done or not.
        """
        request = ua.CallMethodRequest()
        request.ObjectId, request.MethodId = owner, method
        request.InputArguments = arguments
        try:
            return (await self._client.uaclient.call([request]))[0]
        except ua.UaStatusCodeError as error:
            return ua.CallMethodResult(StatusCode=ua.StatusCode(ua.UInt32(error.code)))
        except TROUBLE as error:
            raise ConnectionLost(words(error)) from error

    async def inputs_of(self, method: Any) -> list[ua.VariantType] | None:
        """Return the types of a method's input arguments; None when it declares none.

        Raises:
            ConnectionLost: There was no answer; nothing was called.
        """
        if method in self._inputs:
            return self._inputs[method]
        path = ua.BrowsePath()
        path.StartingNode = method
        path.RelativePath = _relative(((0, "InputArguments"),))
        try:
            declared = None
            (answer,) = await self._client.uaclient.translate_browsepaths_to_nodeids([path])
            if answer.StatusCode.is_good() and answer.Targets:
                (data,) = await self._values([answer.Targets[0].TargetId])
                listed = data.Value.Value if data.Value is not None else None
                declared = [await self._built_in(argument.DataType) for argument in listed or ()]
        except ua.UaStatusCodeError:
            declared = None  # a server that cannot be asked
        except TROUBLE as error:
            raise ConnectionLost(words(error)) from error
        self._inputs[method] = declared
        return declared

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def _end(self, why: str) -> None:
        if not self.down.done():
            self.down.set_result(why)

    async def close(self) -> None:
        """End the link: say good-bye when there is somebody to say it to, and free the socket."""
        self._end("closed")
        for task in self._tasks:
            task.cancel()
        client = self._client
        protocol = client.uaclient.protocol
        client.connection_lost_callback = None
        try:
            async with asyncio.timeout(1.0):
                await client.disconnect()
        except Exception as error:
            log.debug(
                "connection %s: closing: %s",
                self._name,
                error,
                extra={"event": "opcua.closing", "about": self._name},
            )
        finally:
            publishing = client.uaclient.session._publish_task
            if publishing is not None:
                publishing.cancel()
            with suppress(Exception):
                client.disconnect_socket()
            if protocol is not None and protocol.transport is not None:
                protocol.transport.abort()


def _look_s(refreshes: Iterable[float]) -> float:
    """Return how often to look who was not heard of for long: with every node, so no more often than an eighth of that."""
    return max(LOOK_S, min((*refreshes, RETRY_S)) / 8)


def _refresh_s(max_age_s: float | None, refresh_s: float) -> float:
    return refresh_s if max_age_s is None else max(LOOK_S, min(refresh_s, max_age_s / 3))


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _is_gone(data: Any) -> bool:
    return data.StatusCode is not None and (data.StatusCode.value & 0xFFFF_0000) in GONE


def _node_id(address: Address, uris: Sequence[str]) -> Any:
    index = address.namespace
    if isinstance(index, str):
        if index not in uris:
            return None
        index = uris.index(index)
    kinds = {int: ua.NodeIdType.Numeric, str: ua.NodeIdType.String, bytes: ua.NodeIdType.ByteString}
    kind = kinds.get(type(address.identifier), ua.NodeIdType.Guid)
    return ua.NodeId(address.identifier, index, kind)


def _browse_path(address: Address) -> Any:
    path = ua.BrowsePath()
    path.StartingNode = ua.NodeId(ua.ObjectIds.RootFolder)
    path.RelativePath = _relative(address.steps)
    return path


def _relative(steps: Sequence[tuple[int, str]]) -> Any:
    path = ua.RelativePath()
    for index, name in steps:
        element = ua.RelativePathElement()
        element.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        element.IsInverse, element.IncludeSubtypes = False, True
        element.TargetName = ua.QualifiedName(name, index)
        path.Elements.append(element)
    return path


def _monitored(node_id: Any, handle: int, sampling_s: float, queue: int) -> Any:
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.Value)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    parameters = ua.MonitoringParameters()
    parameters.ClientHandle = handle
    parameters.SamplingInterval = sampling_s * 1000
    parameters.QueueSize = queue
    parameters.DiscardOldest = True
    request.RequestedParameters = parameters
    return request
