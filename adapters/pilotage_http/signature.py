"""Who says it, when, and for the first time: signatures of webhooks; pure, with the time passed in.

HMAC-SHA256 (RFC 2104, FIPS 180-4) over the time stamp, the path and the body, so that a message counts once, now, and for one place.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import OrderedDict
from typing import Final

TIME_HEADER: Final = "X-Pilotage-Time"
SIGNATURE_HEADER: Final = "X-Pilotage-Signature"
FORMS: Final = ("time.path.body", "time.body")
"""What is signed: the parts, joined by full stops."""

MOST_REMEMBERED: Final = 100_000


class NotTrusted(ValueError):
    """A message that nobody may act on; the text is for our log, never for whoever sent it."""


def sign(secret: bytes, time: str, path: str, body: bytes, form: str = FORMS[0]) -> str:
    """Return the signature of a message as `sha256=` and 64 hexadecimal digits."""
    parts = {"time": time.encode(), "path": path.encode(), "body": body}
    signed = b".".join(parts[name] for name in form.split("."))
    return "sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest()


class Guard:
    """Lets each rightly signed message pass once, while it is fresh."""

    def __init__(
        self, tolerance_s: float, form: str = FORMS[0], most: int = MOST_REMEMBERED
    ) -> None:
        """Let pass what is at most `tolerance_s` old or ahead."""
        self._tolerance_s = tolerance_s
        self._form = form
        self._most = most
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def admit(
        self, secret: bytes, time: str, signature: str, path: str, body: bytes, now: float
    ) -> None:
        """Let a message pass.

        Args:
            secret: What both sides know.
            time: Seconds since 1970, as the sender wrote them.
            signature: As the sender wrote it, with or without `sha256=`.
            path: Where the message was sent, as the request line had it.
            body: Its bytes.
            now: Seconds since 1970.

        Raises:
            NotTrusted: It is not signed, wrongly, too old, from the future, or was here before.
        """
        if not secret:
            raise NotTrusted("there is no secret to know it by")
        wanted = sign(secret, time, path, body, self._form)
        given = signature if signature.startswith("sha256=") else f"sha256={signature}"
        # The signature is looked at first, so that nobody learns our time or what we have seen without the secret.
        if not hmac.compare_digest(wanted.encode(), given.lower().encode("utf-8", "replace")):
            raise NotTrusted("its signature is wrong" if signature else "it is not signed")
        try:
            said = float(time)
        except ValueError:
            said = math.nan
        if not abs(now - said) <= self._tolerance_s:
            raise NotTrusted(f"its time stamp {time[:40]!r} is not within {self._tolerance_s:g} s")
        self._remember(wanted.encode(), said, now)

    def _remember(self, key: bytes, said: float, now: float) -> None:
        while self._seen:
            first = next(iter(self._seen))
            if self._seen[first] >= now:
                break
            del self._seen[first]
        if key in self._seen:
            raise NotTrusted("it was here before")
        if len(self._seen) >= self._most:
            raise NotTrusted(f"{self._most} messages are remembered already: too many at once")
        # A copy could come until its time stamp is too old; all are kept as long as the longest of them.
        self._seen[key] = max(said, now) + self._tolerance_s
