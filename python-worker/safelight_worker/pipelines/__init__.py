"""Loading, noise schedulers, step adapters."""
