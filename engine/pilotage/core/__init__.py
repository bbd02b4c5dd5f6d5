"""The deterministic core: a function of state, inputs and now. No clock, no I/O, no await."""
