"""Pipelines with random weights for the benchmarks: real classes, tiny or as large as the published ones."""
