"""Trains the embedded 64x64 shapes model and its scorer from drawings made on the spot."""
