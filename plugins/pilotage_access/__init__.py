"""Access to streets: retractable bollards."""
