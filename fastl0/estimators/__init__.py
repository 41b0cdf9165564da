"""What users hold: parameters in, fitted attributes out."""
