"""The pages of the control room and their JSON interface: a process of its own that talks to `pilotage.api` only."""
