"""Register in a real file, with passwords that cost less than in service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage_web.people.passwords import Hasher
from pilotage_web.people.records import By
from pilotage_web.people.register import Register, open_register
from pilotage_web.rights import Role

NOW = 1_795_000_000.0
CLI = By("root", "cli")
PASSWORD = "seven tin cups on a sill"


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Register]:
    """Return the people of a site: ann is admin, nadia operator at traffic and viewer at snow."""
    found = open_register(tmp_path / "var", hasher=Hasher(memory_kib=64))
    found.accounts.add("ann", {"administration": Role.ADMIN}, CLI, NOW)
    found.accounts.add("nadia", {"traffic": Role.OPERATOR, "snow": Role.VIEWER}, CLI, NOW)
    found.accounts.set_password("nadia", found.hasher.hash_now(PASSWORD), CLI, NOW)
    yield found
    found.close()
