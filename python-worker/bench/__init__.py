"""Benchmarks of the worker. They need nothing but it: no server, no network."""
