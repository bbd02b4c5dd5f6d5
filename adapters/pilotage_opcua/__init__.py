"""OPC UA equipment: nodes and methods to points and calls, with quality and source time."""
