"""Where weights lie, and how large tensors are cut."""
