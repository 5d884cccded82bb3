"""What adaptive strategies believe of a tournament: pure NumPy, no I/O, no chance of their own."""
