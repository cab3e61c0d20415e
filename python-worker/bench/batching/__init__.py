"""What step-level batching gains over a lock and over threads: ``python -m bench.batching``."""
