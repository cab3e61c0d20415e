"""The Safelight worker: one process that owns one device."""
