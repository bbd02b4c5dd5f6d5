"""Where a secret's text comes from: the environment, the service manager's credentials, or a file of the secrets folder.

Nothing is kept: each reading of the settings asks anew, so that a reload finds a secret that was changed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pilotage.adapter.secret import Secret
from pilotage.model.diagnostics import Finding, Span
from pilotage.runtime import findings as site

VARIABLE: Final = "PILOTAGE_SECRET_"
"""What the environment variable of a secret begins with: `mqtt-password` is `PILOTAGE_SECRET_MQTT_PASSWORD`."""
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd puts what `LoadCredential=` and `LoadCredentialEncrypted=` name (systemd.exec(5))."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MOST_BYTES: Final = 64 * 1024
# systemd gives a unit's user its credentials by an access list, whose mask shows as rights of the group.
_NOT_OF_A_CREDENTIAL: Final = 0o037
_NOT_OF_A_FILE: Final = 0o077


def is_name(text: str) -> bool:
    """Return whether a text can name a secret: nothing that could lead out of the folder."""
    return _NAME.fullmatch(text) is not None


def variable_of(name: str) -> str:
    """Return the environment variable that gives a secret."""
    return VARIABLE + re.sub(r"[-.]", "_", name).upper()


class SecretFiles:
    """The places of a site's secrets."""

    def __init__(self, folder: Path, shown: Path, environ: Mapping[str, str]) -> None:
        """Name the places.

        Args:
            folder: With one file per secret.
            shown: The folder as messages name it.
            environ: Of the process.
        """
        self._folder = folder
        self._shown = shown
        self._environ = environ

    def read(self, name: str, at: Span) -> Secret | Finding:
        """Return a secret, or why it cannot be had: the environment first, then credentials, then the folder."""
        if not is_name(name):
            return site.bad_secret_name(at, name)
        given = self._environ.get(variable_of(name))
        if given:
            return Secret(given)
        credentials = self._environ.get(CREDENTIALS)
        if credentials and (Path(credentials) / name).exists():
            file = Path(credentials) / name
            return _text_of(name, file, file, _NOT_OF_A_CREDENTIAL, at)
        return _text_of(name, self._folder / name, self._shown / name, _NOT_OF_A_FILE, at)


def _text_of(name: str, file: Path, shown: Path, forbidden: int, at: Span) -> Secret | Finding:
    """Return what a file holds; refuse one that others may read."""
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & forbidden:
                return site.secret_is_open(at, name, str(shown), mode)
            raw = opened.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8").strip("\r\n")
    except FileNotFoundError:
        return site.secret_missing(at, name, str(shown), variable_of(name))
    except PermissionError:
        return site.secret_not_ours(at, name, str(shown))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return site.secret_unreadable(at, name, str(shown), str(why))
    if not text or len(raw) > _MOST_BYTES:
        why = "it is larger than 64 kB" if text else "it is empty"
        return site.secret_unreadable(at, name, str(shown), why)
    return Secret(text)
