"""Short links: make them, follow them, count who followed."""
