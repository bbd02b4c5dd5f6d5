"""Who we are to the server and whom we trust: policy, certificates and keys, read and checked before anything connects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pilotage.adapter.options import Section, meant

POLICIES: Final = ("Aes256Sha256RsaPss", "Basic256Sha256", "none")
MODES: Final = ("SignAndEncrypt", "Sign")
RENEW: Final = timedelta(days=30)
"""A certificate that ends sooner is a warning."""


@dataclass(frozen=True, slots=True)
class Security:
    """How a connection is protected; certificates as DER, the key as PKCS 8 in DER.

    Attributes:
        policy: One of `POLICIES`.
        application_uri: The name in our certificate, which the server compares.
        trusted: The one certificate that the server must have.
    """

    policy: str = "none"
    mode: str = "SignAndEncrypt"
    application_uri: str = "urn:pilotage"
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    trusted: bytes = b""


def read_security(options: Section) -> Security:
    """Return the protection that options describe; without a word it is the strongest, which needs certificates."""
    policy = options.text("security", POLICIES[0])
    mode = options.text("mode", MODES[0])
    names = {key: options.text(key) for key in ("certificate", "key", "server_certificate")}
    password = options.text("key_password")
    if policy not in POLICIES:
        message = f'there is no security "{policy}" here'
        options.problems.error(
            "wrong-value", options.path("security"), message, meant(policy, POLICIES)
        )
        return Security()
    if mode not in MODES:
        message = f'there is no mode "{mode}"'
        options.problems.error("wrong-value", options.path("mode"), message, meant(mode, MODES))
        return Security()
    given = [key for key, name in names.items() if name]
    if policy == "none":
        if given:
            message = f'"{given[0]}" does nothing with "security: none"'
            options.problems.error("certificate", options.where, message, 'write a "security"')
        return Security()
    missing = [key for key in names if key not in given]
    if missing:
        message = f'security {policy} needs "{missing[0]}"'
        mend = 'name the file, or write "security: none" for a network that nobody else can reach'
        options.problems.error("missing-key", options.where, message, mend)
    return _Files(options, names, password).read(policy, mode)


class _Files:
    """The certificate and key files of one connection."""

    def __init__(self, options: Section, names: dict[str, str], password: str) -> None:
        self._options = options
        self._names = names
        self._password = password

    def read(self, policy: str, mode: str) -> Security:
        """Return what the files hold; each mistake is a finding."""
        own, trusted = self._certificate("certificate"), self._certificate("server_certificate")
        key = self._key()
        if own is None or trusted is None or key is None:
            return Security(policy, mode)
        if own.public_key() != key.public_key():
            self._error("key", "does not belong to the certificate")
        return Security(
            policy, mode, self._uri(own), _der(own), _private(key), _der(trusted)
        )  # fmt: skip

    def _bytes(self, key: str) -> bytes | None:
        name = self._names[key]
        if not name:
            return None
        try:
            return Path(name).read_bytes()
        except FileNotFoundError:
            self._error(key, f'there is no file "{name}"', "no-such-file")
        except OSError as error:
            self._error(key, f'cannot read "{name}": {error.strerror}', "no-such-file")
        return None

    def _certificate(self, key: str) -> Any:
        from cryptography import x509

        content = self._bytes(key)
        if content is None:
            return None
        try:
            is_pem = b"-----BEGIN" in content
            found = (x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate)(
                content
            )
        except ValueError:
            self._error(key, f'"{self._names[key]}" is no X.509 certificate')
            return None
        self._check_dates(key, found)
        return found

    def _check_dates(self, key: str, found: Any) -> None:
        now, end = datetime.now(UTC), found.not_valid_after_utc
        if end < now:
            self._error(key, f"ended on {end:%Y-%m-%d}")
        elif found.not_valid_before_utc > now:
            self._error(key, f"begins on {found.not_valid_before_utc:%Y-%m-%d}")
        elif end - now < RENEW:
            where = self._options.path(key)
            self._options.problems.warning("certificate", where, f"ends on {end:%Y-%m-%d}")

    def _key(self) -> Any:
        from cryptography.hazmat.primitives import serialization

        content = self._bytes("key")
        if content is None:
            return None
        load = serialization.load_der_private_key
        if b"-----BEGIN" in content:
            load = serialization.load_pem_private_key
        try:
            return load(content, self._password.encode() or None)
        except TypeError:
            word = "needs a password" if not self._password else "has no password"
            self._error("key", word, mend='set "key_password" as the file wants it')
        except ValueError:
            self._error("key", f'"{self._names["key"]}" is no private key that can be read')
        return None

    def _uri(self, own: Any) -> str:
        from cryptography import x509

        try:
            names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        except x509.ExtensionNotFound:
            uris = []
        if uris:
            return str(uris[0])
        mend = "make one with an application URI as subject alternative name"
        self._error("certificate", "has no application URI, which servers compare", mend=mend)
        return ""

    def _error(self, key: str, message: str, code: str = "certificate", mend: str = "") -> None:
        self._options.problems.error(code, self._options.path(key), message, mend)


def _der(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(certificate.public_bytes(serialization.Encoding.DER))


def _private(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
