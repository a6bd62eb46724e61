"""What an encoder is trained on: images and their classes, from a folder, a zip file or a collection."""
