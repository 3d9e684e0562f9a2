"""What a training step costs: binary networks against the float network of the same shape, and other ways to train."""
