"""A small city that lives by itself: a broker, equipment that obeys late, and a view of it all."""
