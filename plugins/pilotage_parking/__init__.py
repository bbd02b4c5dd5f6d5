"""Parking: car parks and their free spaces."""
