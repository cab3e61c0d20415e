"""Memory of a device."""
