"""What the sub-commands for stored things share: where the site keeps them."""

from __future__ import annotations

import argparse
from pathlib import Path


def storage_of(arguments: argparse.Namespace) -> Path:
    """Return the storage folder that the configuration names; secrets are not needed for that.

    Raises:
        RuleError: The configuration cannot be read.
    """
    from pilotage.model.diagnostics import RuleError
    from pilotage.runtime.config import read_settings

    read = read_settings(arguments.config, secrets=False)
    if read.settings is None:
        raise RuleError(read.findings, read.sources)
    return read.settings.storage.path
