"""Street lighting: lamps, cabinets and the segments of streets they light."""
