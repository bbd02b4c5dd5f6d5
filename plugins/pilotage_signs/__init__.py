"""Variable message signs."""
