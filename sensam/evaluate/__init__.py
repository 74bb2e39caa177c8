"""What a model is worth: numbers and pictures."""
