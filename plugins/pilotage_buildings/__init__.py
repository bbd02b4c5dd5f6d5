"""Buildings from inside: climate zones, fire panels, gates and lifts."""
