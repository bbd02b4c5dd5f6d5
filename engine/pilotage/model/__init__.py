"""What everything else is made of: values, units, quality, entities, messages; standard library only."""
