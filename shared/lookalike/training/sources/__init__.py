"""Training data: images and their classes, from a folder, a zip file or a collection."""
