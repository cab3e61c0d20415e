"""What a loaded model offers the engine."""
