"""Security: buildings as places, intrusion zones, and cameras that turn to an alarm."""
