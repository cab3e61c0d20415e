"""What the engine gains over a lock, over threads and over a compiled pipeline: ``python -m bench.engine``."""
