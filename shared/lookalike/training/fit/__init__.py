"""Training: features, heads, losses, the training loop."""
