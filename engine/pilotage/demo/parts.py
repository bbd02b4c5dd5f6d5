"""The devices of the demo as child processes; light, since whoever starts them needs none of their libraries."""

from __future__ import annotations

from pilotage.demo.child import Peer


class CabinetsProcess(Peer):
    """The cabinets as a child process; a context manager. It ends with its parent, however that ends."""

    name = "lighting cabinets"
    module = "pilotage.demo.cabinets"


class ControllersProcess(Peer):
    """The signal controllers as a child process; a context manager. It ends with its parent, however that ends."""

    name = "signal controllers"
    module = "pilotage.demo.controllers"
