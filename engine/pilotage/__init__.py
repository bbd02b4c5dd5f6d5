"""The engine of a city: rules in, readings in, commands out.

`open_city` runs it inside another program; `pilotage run` as a service.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pilotage.embedding import City, FeedError, open_city

__all__ = ["City", "FeedError", "open_city"]

_EMBEDDING: Final = "pilotage.embedding"


def __getattr__(name: str) -> Any:
    """Return what programs that embed the engine use; loaded when first asked for, so that plugins stay light."""
    if name in __all__:
        return getattr(import_module(_EMBEDDING), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
