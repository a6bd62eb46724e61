"""Making encoders. TensorFlow lives here only, and a serving process never imports this package."""
