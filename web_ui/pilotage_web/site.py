"""What the web process is told of its site; the service writes it as one line of JSON to its standard input."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ProviderSite(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider, as a site names it.

    Attributes:
        issuer: Its address, where its configuration is found.
        client: By which name it knows these pages.
        secret: File with the secret that goes with it.
        claim: Of its token: what is the name of an account here.
        title: What people call it.
    """

    issuer: str
    client: str
    secret: str
    claim: str = "preferred_username"
    title: str = ""


class PostSite(msgspec.Struct, frozen=True, kw_only=True):
    """A post of the control room, as the site names it (`people.posts.Post`)."""

    id: str
    titles: dict[str, str] = {}
    trades: list[str] = []
    areas: list[str] = []
    phone: str = ""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A site as the pages need it; paths are absolute.

    Attributes:
        name: What people call it.
        language: Of who has not chosen one.
        time_zone: By its name in the IANA database.
        position: Latitude and longitude in degrees, where the map opens.
        socket: The engine's control socket.
        folder: Where the pages keep what is theirs (people, sessions, requests that must not be repeated).
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        address: How browsers reach it, such as `https://pilotage.example.org`; empty is what it listens on.
        certificate: File with the TLS certificate and its chain; empty for none.
        key: File with the certificate's key.
        trusted: Addresses of the reverse proxies whose word about the client counts.
        second_factor: Whether everybody needs a second factor before anything is shown.
        provider: The city's identity provider, None for none.
        outlive_s: How long pages still answer after the engine's process has gone, in seconds.
        map: GeoJSON file that lies under the equipment on the map; empty for none.
        contact: Whom to tell what keeps somebody from using the pages; empty when nobody is named.
        people_key: File with the key under which second factors are sealed; empty for none.
        posts: Of the control room; empty for those that every site has which names none.
        log_level: The least important line that is logged: debug, info, warning or error.
        log_format: `text` or `json`.
    """

    name: str
    socket: str
    folder: str
    language: str = "en"
    time_zone: str = "UTC"
    position: tuple[float, float] | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    address: str = ""
    certificate: str = ""
    key: str = ""
    trusted: list[str] = []
    second_factor: bool = True
    outlive_s: float = 300.0
    provider: ProviderSite | None = None
    map: str = ""
    contact: str = ""
    people_key: str = ""
    posts: list[PostSite] = []
    log_level: str = "info"
    log_format: str = "text"

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return ZoneInfo(self.time_zone)

    @property
    def storage(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)

    @property
    def origins(self) -> frozenset[str]:
        """Every origin under which browsers may call: requests from elsewhere are refused."""
        if self.address:
            return frozenset({self.address.rstrip("/").lower()})
        scheme = "https" if self.certificate else "http"
        hosts = {self.host, *(LOOPBACK if self.host in LOOPBACK else ())}
        return frozenset(f"{scheme}://{self._place(scheme, host)}" for host in hosts)

    @property
    def url(self) -> str:
        """The address to open in a browser."""
        scheme = "https" if self.certificate else "http"
        return self.address.rstrip("/") or f"{scheme}://{self._place(scheme, self.host)}"

    @property
    def is_secure(self) -> bool:
        """True when browsers come over TLS: cookies are marked for it then."""
        return self.url.startswith("https:")

    def _place(self, scheme: str, host: str) -> str:
        """Return host and port as a browser writes them."""
        bracketed = f"[{host}]" if ":" in host else host
        usual = {"http": 80, "https": 443}[scheme]
        return bracketed if self.port == usual else f"{bracketed}:{self.port}"
