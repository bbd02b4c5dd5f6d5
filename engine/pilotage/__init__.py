"""The engine of a city: rules in, readings in, commands out."""
