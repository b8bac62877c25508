"""What an operator does: bring the house up, and find out what is wrong with it."""
