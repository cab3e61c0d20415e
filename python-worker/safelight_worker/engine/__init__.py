"""The loop over runners."""
