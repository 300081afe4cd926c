"""What is planted, by where."""
