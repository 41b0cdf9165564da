"""The displays and their style."""
