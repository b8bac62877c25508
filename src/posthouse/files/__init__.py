"""Files: they go in, safe processes work on them, signed results come out."""
