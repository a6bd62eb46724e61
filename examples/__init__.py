"""Examples of the Python API. Each is a script: `python examples/search.py STORE COLLECTION IMAGE`."""
