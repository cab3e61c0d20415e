"""Benchmarks: rivals side by side in one run, with the machine they ran on."""
