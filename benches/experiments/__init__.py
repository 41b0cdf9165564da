"""The published experiments repeated, and test error against size."""
