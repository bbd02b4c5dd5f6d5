"""The city's service vehicles, and the calls that send them out."""
