"""From the text of a rule file to checked, typed, compiled rules."""
