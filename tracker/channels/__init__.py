"""Where notices go: one file a channel kind."""
