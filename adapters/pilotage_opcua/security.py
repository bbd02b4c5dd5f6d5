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
        trusted: The certificates of which the server must have one.
        user_certificate, user_key: Who we are as a user; empty for a name with a password, or nobody.
    """

    policy: str = "none"
    mode: str = "SignAndEncrypt"
    application_uri: str = "urn:pilotage"
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    trusted: tuple[bytes, ...] = ()
    user_certificate: bytes = b""
    user_key: bytes = field(default=b"", repr=False)


def read_security(options: Section) -> Security:
    """Return the protection that options describe; without a word it is the strongest, which needs certificates."""
    policy = options.text("security", POLICIES[0])
    mode = options.text("mode", MODES[0])
    names = {key: options.text(key) for key in ("certificate", "key")}
    names |= _trusted(options)
    users = {key: options.text(key) for key in ("user_certificate", "user_key")}
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
    given = [key for key, name in (names | users).items() if name]
    if policy == "none":
        if given:
            message = f'"{given[0]}" does nothing with "security: none"'
            options.problems.error("certificate", options.where, message, 'write a "security"')
        return Security()
    missing = [key for key in ("certificate", "key") if key not in given]
    if not any(key.startswith("server_certificate") for key in given):
        missing.append("server_certificate")
    if missing:
        message = f'security {policy} needs "{missing[0]}"'
        mend = 'name the file, or write "security: none" for a network that nobody else can reach'
        options.problems.error("missing-key", options.where, message, mend)
    if any(users.values()) and not all(users.values()):
        message = '"user_certificate" and "user_key" are needed together'
        options.problems.error("missing-key", options.where, message)
    elif all(users.values()) and options.any("username") is not None:
        message = "a user has a name with a password, or a certificate"
        options.problems.error("certificate", options.path("username"), message, "keep one")
    return _Files(options, names | users, password).read(policy, mode)


def _trusted(options: Section) -> dict[str, str]:
    """Return the files of the certificates that are trusted, by where they stand."""
    raw = options.any("server_certificate")
    if not isinstance(raw, (list, tuple)):
        return {"server_certificate": options.text("server_certificate")}
    found = {}
    for number, name in enumerate(raw):
        key = f"server_certificate[{number}]"
        if isinstance(name, str) and name:
            found[key] = name
        else:
            message = "expected the name of a file"
            options.problems.error("wrong-type", options.path(key), message)
    return found


class _Files:
    """The certificate and key files of one connection."""

    def __init__(self, options: Section, names: dict[str, str], password: str) -> None:
        self._options = options
        self._names = names
        self._password = password

    def read(self, policy: str, mode: str) -> Security:
        """Return what the files hold; each mistake is a finding."""
        own = self._certificate("certificate")
        named = [name for name in self._names if name.startswith("server_certificate")]
        trusted = [self._certificate(name) for name in named]
        key = self._key("key")
        user, user_key = b"", b""
        if self._names["user_certificate"]:
            user, user_key = self._user()
        if own is None or key is None or not trusted or None in trusted:
            return Security(policy, mode)
        if own.public_key() != key.public_key():
            self._error("key", "does not belong to the certificate")
        known = tuple(_der(certificate) for certificate in trusted)
        return Security(
            policy, mode, self._uri(own), _der(own), _private(key), known, user, user_key
        )  # fmt: skip

    def _user(self) -> tuple[bytes, bytes]:
        certificate, key = self._certificate("user_certificate"), self._key("user_key")
        if certificate is None or key is None:
            return b"", b""
        if certificate.public_key() != key.public_key():
            self._error("user_key", "does not belong to the user_certificate")
        return _der(certificate), _private(key)

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

    def _key(self, name: str) -> Any:
        from cryptography.hazmat.primitives import serialization

        content = self._bytes(name)
        if content is None:
            return None
        load = serialization.load_der_private_key
        if b"-----BEGIN" in content:
            load = serialization.load_pem_private_key
        try:
            return load(content, self._password.encode() or None)
        except TypeError:
            word = "needs a password" if not self._password else "has no password"
            self._error(name, word, mend='set "key_password" as the file wants it')
        except ValueError:
            self._error(name, f'"{self._names[name]}" is no private key that can be read')
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
