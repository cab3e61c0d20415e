"""Programs that make the models which ship with the worker; nothing here runs while it serves."""
