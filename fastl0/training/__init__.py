"""The training loop: buffers, updates, deletions, schedules, history, threads."""
