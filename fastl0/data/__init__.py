"""What comes in: checks of X, rows read by blocks, encoded targets, weights, splits."""
