"""What predicts: the frozen network and the formulas of its gates. NumPy only."""
