"""Shows a model as tracing and Grappler see it."""
