"""What peers run: programs of their own, in environments of their own."""
