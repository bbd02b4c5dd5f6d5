"""What the engine measures of itself, and the small listener at which Prometheus reads it.

The parts of the engine add up integers; everything else is worked out when somebody asks.
"""
