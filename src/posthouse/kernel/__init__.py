"""What every slice stands on; it knows no slice's noun."""
