"""The second factor: codes of the day from a telephone, each good once, and recovery codes on paper.

Source: RFC 6238 (30 s, 6 digits, SHA-1, as every authenticator has it); OWASP ASVS 5.0, 6.5.1.
"""

from __future__ import annotations

import hmac
import io
import re
import secrets
from typing import Final

import pyotp
import segno

STEP_S: Final = 30
DRIFT: Final = 1
"""A telephone whose clock is so many steps off is heard."""
RECOVERY_CODES: Final = 10
_ALPHABET: Final = (
    "abcdefghjkmnpqrstuvwxyz23456789"  # without i, l, o, 0 and 1: they are read from paper
)


def new_secret() -> str:
    """Return a secret of 160 bits, in base 32."""
    return pyotp.random_base32()


def address_of(secret: str, name: str, site: str) -> str:
    """Return the address that an authenticator takes a secret from."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=site)


def picture_of(address: str) -> str:
    """Return a picture of the address for a telephone's camera, as SVG without script or style."""
    out = io.BytesIO()
    segno.make(address, error="m").save(
        out, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False
    )
    return out.getvalue().decode()


def step_of(secret: str, code: str, now: float, last: int) -> int | None:
    """Return the step of time for which a code is right, later than `last`; None when it is wrong or was used.

    Args:
        secret: The person's, in base 32.
        code: As typed; blanks do not count.
        now: Seconds since 1970.
        last: The step of the last code that was taken; an older code is no code any more.
    """
    digits = re.sub(r"\s", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    middle = int(now // STEP_S)
    generator = pyotp.TOTP(secret)
    found = None
    for step in range(middle - DRIFT, middle + DRIFT + 1):
        if hmac.compare_digest(generator.generate_otp(step), digits) and step > last:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Return codes for the day on which the telephone is lost: 59 bits each, four letters by four."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
        for _ in range(RECOVERY_CODES)
    ]


def plain_recovery(code: str) -> str:
    """Return a recovery code as it is kept: without the hyphens and blanks that people type."""
    return re.sub(r"[\s-]", "", code).lower()
