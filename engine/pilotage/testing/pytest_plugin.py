"""What pytest finds by itself when pilotage is installed: fixtures for the tests of adapters, and their clear failures.

Light on purpose: it is imported in every run of pytest that happens in the same environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pilotage.testing.adapters import RecordingDoor

# Their `assert`s show what was compared, as those of the vendor's own tests do.
pytest.register_assert_rewrite("pilotage.testing.contract", "pilotage.testing.city")


@pytest.fixture
def adapter_door() -> RecordingDoor:
    """Return a door that keeps everything that an adapter hands in."""
    from pilotage.testing.adapters import RecordingDoor

    return RecordingDoor()
