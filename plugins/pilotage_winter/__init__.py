"""Winter service: road stations, snow forecast, routes to treat, and ploughs."""
