"""Tasks: long work that is accepted at once, run by a worker, and can be watched and stopped."""
