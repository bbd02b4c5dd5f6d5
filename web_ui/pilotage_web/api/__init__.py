"""The typed JSON interface, one module per noun with its `ROUTES`."""
