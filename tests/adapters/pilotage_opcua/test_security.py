"""Certificates, keys and users: every mistake at the check, and real connections that are let in or kept out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilotage_opcua.binding import bind

LAMP = {"kind": "lamp", "read": {"point": "level", "node": "ns=2;s=City.{id}.Level"}}
AT = "connections.street"
DAY = datetime.timedelta(days=1)

Make = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a maker of certificates and keys, as files."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(
        name: str, uri: str = "urn:pilotage:test", days: int = 365, password: str = ""
    ) -> tuple[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        builder = builder.not_valid_before(now - 400 * DAY).not_valid_after(now + days * DAY)
        if uri:
            names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usage = x509.KeyUsage(True, True, True, True, False, False, False, False, False)
        builder = builder.add_extension(usage, critical=False)
        both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        lock: Any = serialization.NoEncryption()
        if password:
            lock = serialization.BestAvailableEncryption(password.encode())
        files = folder / f"{name}.der", folder / f"{name}.pem"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        files[1].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        )
        return str(files[0]), str(files[1])

    return make


@pytest.fixture(scope="module")
def own(make: Make) -> tuple[str, str]:
    return make("own")


@pytest.fixture(scope="module")
def plcs(make: Make) -> tuple[str, str]:
    return make("plc", "urn:city:plc:server")


class TestCheck:
    def found(self, make_settings: Any, city: Any, **options: Any) -> list[tuple[str, str]]:
        findings = bind(make_settings(**{"security": "Basic256Sha256", **options}), city)[1]
        return [(f.code, f.message.removeprefix(f"{AT}")) for f in findings]

    def test_safe_unless_said(self, make_settings: Any, city: Any) -> None:
        """Without a word the strongest policy holds, and it needs certificates."""
        (finding,) = bind(make_settings(security=None), city)[1]
        assert finding.message == f'{AT}: security Aes256Sha256RsaPss needs "certificate"'
        assert "security: none" in finding.mend

    def test_key_missing(self, make_settings: Any, city: Any, own: Any, plcs: Any) -> None:
        """A certificate without its key is a mistake; so is a server that nobody vouches for."""
        found = self.found(make_settings, city, certificate=own[0], server_certificate=plcs[0])
        assert found == [("missing-key", ': security Basic256Sha256 needs "key"')]
        found = self.found(make_settings, city, certificate=own[0], key=own[1])
        assert found == [("missing-key", ': security Basic256Sha256 needs "server_certificate"')]

    def test_key_of_another(self, make_settings: Any, city: Any, own: Any, plcs: Any) -> None:
        """A key that does not belong to the certificate is a mistake."""
        given = {"certificate": own[0], "key": plcs[1], "server_certificate": plcs[0]}
        assert self.found(make_settings, city, **given) == [
            ("certificate", ".key: does not belong to the certificate")
        ]

    def test_files(self, make_settings: Any, city: Any, own: Any, tmp_path: Path) -> None:
        """A file that is not there, or is something else, is a mistake."""
        text = tmp_path / "text.pem"
        text.write_text("no certificate")
        given = {"certificate": "/no/own.der", "key": str(text), "server_certificate": str(text)}
        assert self.found(make_settings, city, **given) == [
            ("no-such-file", '.certificate: there is no file "/no/own.der"'),
            ("certificate", f'.server_certificate: "{text}" is no X.509 certificate'),
            ("certificate", f'.key: "{text}" is no private key that can be read'),
        ]

    def test_dates(self, make_settings: Any, city: Any, make: Make, own: Any) -> None:
        """A certificate that has ended is a mistake, one that ends soon a warning."""
        old, soon = make("old", days=-1), make("soon", days=10)
        given = {"certificate": own[0], "key": own[1], "server_certificate": old[0]}
        ((code, message),) = self.found(make_settings, city, **given)
        assert (code, message[:32]) == ("certificate", ".server_certificate: ended on 20")
        (finding,) = bind(
            make_settings(security="Basic256Sha256", **{**given, "server_certificate": soon[0]}),
            city,
        )[1]
        assert (finding.is_error, "ends on 20" in finding.message) == (False, True)

    def test_no_application_uri(self, make_settings: Any, city: Any, make: Make) -> None:
        """A certificate without the name that servers compare is a mistake."""
        bare = make("bare", uri="")
        given = {"certificate": bare[0], "key": bare[1], "server_certificate": bare[0]}
        ((_, message),) = self.found(make_settings, city, **given)
        assert "has no application URI" in message

    def test_locked_key(self, make_settings: Any, city: Any, make: Make, plcs: Any) -> None:
        """A key with a password needs it."""
        own = make("locked", password="open")
        given = {"certificate": own[0], "key": own[1], "server_certificate": plcs[0]}
        found = self.found(make_settings, city, **given)
        assert found == [("certificate", ".key: needs a password")]
        assert self.found(make_settings, city, **given, key_password="open") == []
        assert len(self.found(make_settings, city, **given, key_password="shut")) == 1

    def test_certificate_for_nothing(self, make_settings: Any, city: Any, own: Any) -> None:
        """A certificate that is not used is a mistake: somebody thinks that the connection is safe."""
        found = self.found(make_settings, city, security="none", certificate=own[0])
        assert found == [("certificate", ': "certificate" does nothing with "security: none"')]

    def test_open_password(self, make_settings: Any, city: Any) -> None:
        """A password that anybody can read on its way is a warning."""
        given = {"security": "none", "username": "u", "password": "p"}
        (finding,) = bind(make_settings(**given), city)[1]
        assert (finding.code, finding.is_error) == ("insecure", False)

    def test_secrets_are_not_shown(self, make_settings: Any, city: Any) -> None:
        """Neither the password nor the key is in the text of a plan."""
        plan, _ = bind(make_settings(username="u", password="open sesame"), city)
        assert "sesame" not in repr(plan)

    def test_half_a_user(self, make_settings: Any, city: Any, own: Any, plcs: Any) -> None:
        """A user's certificate needs its key, and no name beside it."""
        given = {"certificate": own[0], "key": own[1], "server_certificate": plcs[0]}
        half = self.found(make_settings, city, **given, user_certificate=own[0])
        assert half == [("missing-key", ': "user_certificate" and "user_key" are needed together')]
        both = {"user_certificate": own[0], "user_key": own[1], "username": "u"}
        found = self.found(make_settings, city, **given, **both)
        why = ".username: a user has a name with a password, or a certificate"
        assert found == [("certificate", why)]
        wrong = {"user_certificate": own[0], "user_key": plcs[1]}
        assert self.found(make_settings, city, **given, **wrong) == [
            ("certificate", ".user_key: does not belong to the user_certificate")
        ]


class TestConnect:
    @pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256Sha256RsaPss"])
    async def test_let_in(
        self, make_plc: Any, running: Any, own: Any, plcs: Any, policy: str
    ) -> None:
        """With certificates and a user, values come over a signed and encrypted connection."""
        plc = make_plc(certificate=plcs[0], key=plcs[1], users=True)
        given = {"certificate": own[0], "key": own[1], "server_certificate": plcs[0]}
        who = {"username": "city", "password": "secret"}
        async with running(plc, security=policy, points=LAMP, **given, **who) as city:
            await city.up()
            assert f"security {policy}" in city.door.ups[0]
            assert city.door.last("lamp-1.level") == 10

    async def test_user_with_a_certificate(
        self, make: Make, make_plc: Any, running: Any, own: Any, plcs: Any
    ) -> None:
        """A user may be a certificate instead of a name; one that the server does not know is kept out."""
        known, stranger = make("known"), make("stranger")
        plc = make_plc(certificate=plcs[0], key=plcs[1], users=True, user=known[0])
        given = {"certificate": own[0], "key": own[1], "server_certificate": plcs[0]}
        given |= {"security": "Basic256Sha256", "points": LAMP}
        who = {"user_certificate": known[0], "user_key": known[1]}
        async with running(plc, **given, **who) as city:
            await city.up()
            assert city.door.last("lamp-1.level") == 10
        who = {"user_certificate": stranger[0], "user_key": stranger[1]}
        async with running(plc, **given, **who) as city:
            await city.door.until(lambda: bool(city.errors))
            assert city.errors[0].startswith(f"cannot connect to {plc.url}: Bad")
            assert city.door.reports == []

    async def test_trust_list(
        self, make_plc: Any, running: Any, own: Any, plcs: Any, make: Make
    ) -> None:
        """Of several trusted certificates the server must have one: an exchange can be prepared."""
        old, other = make("old"), make("other")
        plc = make_plc(certificate=plcs[0], key=plcs[1])
        given = {"certificate": own[0], "key": own[1], "security": "Basic256Sha256", "points": LAMP}
        async with running(plc, server_certificate=[old[0], plcs[0]], **given) as city:
            await city.up()
            assert city.door.last("lamp-1.level") == 10
        async with running(plc, server_certificate=[old[0], other[0]], **given) as city:
            await city.door.until(lambda: bool(city.errors))
            assert "none of the certificates that are trusted" in city.errors[0]
            assert city.door.reports == []

    async def test_wrong_user(self, make_plc: Any, running: Any, own: Any, plcs: Any) -> None:
        """A wrong password is the reason that a person reads, and no value comes."""
        plc = make_plc(certificate=plcs[0], key=plcs[1], users=True)
        given = {"certificate": own[0], "key": own[1], "server_certificate": plcs[0]}
        who = {"username": "city", "password": "wrong"}
        async with running(plc, security="Basic256Sha256", points=LAMP, **given, **who) as city:
            await city.door.until(lambda: bool(city.errors))
            assert city.errors[0] == f"cannot connect to {plc.url}: BadUserAccessDenied"
            assert city.door.reports == []

    async def test_another_server(self, make_plc: Any, running: Any, own: Any, plcs: Any) -> None:
        """A server with another certificate than the trusted one is never spoken to."""
        plc = make_plc(certificate=plcs[0], key=plcs[1])
        given = {"certificate": own[0], "key": own[1], "server_certificate": own[0]}
        async with running(plc, security="Basic256Sha256", points=LAMP, timeout=1, **given) as city:
            await city.door.until(lambda: bool(city.errors))
            assert city.errors[0].startswith(f"cannot connect to {plc.url}: ")
            assert city.door.reports == []

    async def test_server_wants_security(self, make_plc: Any, running: Any, plcs: Any) -> None:
        """A connection without security to a server that wants it is refused, and never falls back."""
        plc = make_plc(certificate=plcs[0], key=plcs[1])
        async with running(plc, points=LAMP, timeout=1) as city:
            await city.door.until(lambda: bool(city.errors))
            assert city.door.reports == []
