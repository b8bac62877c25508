"""Products: the worked example, and the slice to copy."""
