"""Seeds that once broke a promise; each suite tries its own first, in both forms."""

from __future__ import annotations

from typing import Final

SIMULATION: Final[tuple[int, ...]] = ()
