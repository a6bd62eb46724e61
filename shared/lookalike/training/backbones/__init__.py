"""Pretrained feature extractors, and their export to LiteRT."""
