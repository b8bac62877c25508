"""What the API of notifications takes and gives, by what it is about."""
