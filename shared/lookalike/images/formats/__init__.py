"""The header of each format: one module a format.

Each module's `read` walks the file's own structure and hands on only what carries pixels. Metadata never
reaches a decoder: not the text chunk that inflates a thousandfold, not the ten thousand EXIF tags that
each quote the whole file. Of metadata, orientation and colour profile are read here, with bounded work.
"""
