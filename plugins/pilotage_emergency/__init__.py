"""Emergency vehicles on the move."""
