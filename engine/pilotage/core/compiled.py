"""Whether the rooms of the core run from their source, or as modules that were compiled from it (`deploy/compile_core.py`)."""

from __future__ import annotations

from importlib.util import find_spec


def is_compiled() -> bool:
    """Return whether the core that this process imports is compiled."""
    spec = find_spec("pilotage.core.engine")
    return spec is not None and not str(spec.origin).endswith(".py")
