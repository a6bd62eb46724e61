"""Train and export encoders. Only this package imports TensorFlow, and a serving process never imports it."""
