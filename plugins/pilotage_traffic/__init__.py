"""Traffic: signalled junctions, detectors, and buses that ask for green."""
