"""Header parsers, one module per format.

Each module's `read` parses the file's structure and returns only the parts with pixels. Metadata never
reaches a decoder, such as a text chunk that inflates a thousandfold, or ten thousand EXIF tags that each
refer to the whole file. The parsers read only orientation and colour profile, with bounded work.
"""
