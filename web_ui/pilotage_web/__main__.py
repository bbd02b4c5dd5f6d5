"""The web process: reads its site from standard input, serves it, and ends in order.

`python -m pilotage_web` is started by the service (`pilotage run`, with `web:` in config.yaml). The first line of its standard
input is the site as JSON. The end of that input means that the service's process has gone: the pages go on saying so for a
while (`web.outlive`), unless another web process of the same site takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import uvicorn

from pilotage_web.app import Frame, create_app
from pilotage_web.city import City
from pilotage_web.logs import set_up_logs
from pilotage_web.people.reception import Policy, Reception
from pilotage_web.people.register import Register, open_register
from pilotage_web.people.sealing import KeyFileError, read_key
from pilotage_web.people.store import PeopleFileError
from pilotage_web.place import Place, tell_address
from pilotage_web.site import Site

TOKEN_VARIABLE: Final = "PILOTAGE_WEB_ENTER"
"""Of the environment: the token of a link that signs in once; whoever starts the process may choose it."""
GRACE_S: Final = 1
MOST_CONNECTIONS: Final = 3_000

if TYPE_CHECKING:
    from pilotage_web.people.oidc import Provider

log = logging.getLogger("pilotage.web")


class Server(uvicorn.Server):
    """uvicorn in our loop; signals are ours, since streams must end before it waits for them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_settled = asyncio.Event()
        """Set once it listens, or has given up."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        try:
            await super().startup(sockets)
        finally:
            self.is_settled.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def main() -> int:
    """Serve until told to end."""
    line = sys.stdin.buffer.readline()
    if not line:
        print("python -m pilotage_web is started by `pilotage run`", file=sys.stderr)
        return 2
    site = msgspec.json.decode(line, type=Site)
    set_up_logs(site.log_level, site.log_format)
    with Place(Path(site.folder)):
        try:
            listener = listen(site)
        except OSError as error:
            print(
                f"the pages cannot listen on {site.host}:{site.port}: {error.strerror}\n"
                "   mend: end what listens there, or choose another web.listen",
                file=sys.stderr,
            )
            return 1
        site = msgspec.structs.replace(site, port=listener.getsockname()[1])
        try:
            with asyncio.Runner(loop_factory=_loop) as runner:
                runner.run(serve(site, listener))
        except (PeopleFileError, KeyFileError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def listen(site: Site) -> socket.socket:
    """Return the socket that browsers connect to."""
    family = socket.AF_INET6 if ":" in site.host else socket.AF_INET
    return socket.create_server((site.host, site.port), family=family, backlog=1_024)


def _register(site: Site) -> Register:
    return open_register(site.storage, site.posts, key=read_key(site.people_key))


async def serve(site: Site, listener: socket.socket) -> None:
    """Serve a site until SIGTERM or SIGINT, or until the service has been gone for long."""
    token, city = os.environ.pop(TOKEN_VARIABLE, ""), City(Path(site.socket))
    policy = Policy(site.second_factor and not token, password=not token)
    provider = _provider(site)
    people = Reception(site, _register(site), city.ask, policy, provider=provider)
    app = create_app(site, city, people)
    frame: Frame = app.state.frame
    frame.hub.on_placed = settle
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="on",
            proxy_headers=bool(site.trusted),
            forwarded_allow_ips=site.trusted,
            ssl_certfile=site.certificate or None,
            ssl_keyfile=site.key or None,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=20,
            limit_concurrency=MOST_CONNECTIONS,
        )
    )

    def end() -> None:
        frame.ending.set()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    _watch_service(site, end)
    serving = asyncio.create_task(server.serve([listener]))
    await server.is_settled.wait()
    if server.started:
        tell_address(site.storage, site.url)
        print(
            msgspec.json.encode({"ready": site.url, "enter": people.let_in_once(token)}).decode(),
            flush=True,
        )
    await serving


def settle() -> None:
    """Take what stays (the code, 34,000 places) out of the garbage collector's sight; it would hold every stream for 100 ms.

    What died in a circle since the last time is freed before.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _provider(site: Site) -> Provider | None:
    """Return what asks the identity provider; its libraries are only needed where there is one."""
    if site.provider is None:
        return None
    from pilotage_web.people.oidc import Provider

    return Provider(site)


def _watch_service(site: Site, end: object) -> None:
    """Begin to count when the service's process has gone."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def look() -> None:
        if os.read(stdin, 4_096):
            return
        loop.remove_reader(stdin)
        log.warning(
            "the engine's process has gone; the pages say so for %g s",
            site.outlive_s,
            extra={"event": "web.engine_gone"},
        )
        loop.call_later(site.outlive_s, end)  # type: ignore[arg-type]

    with contextlib.suppress(PermissionError):  # a plain file cannot be watched
        loop.add_reader(stdin, look)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    sys.exit(main())
