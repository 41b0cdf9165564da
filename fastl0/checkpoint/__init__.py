"""Checkpoint files: their format, their store, and what tells one fit from another."""
