"""The HTTP API: one app for the local server and for the query Lambda.

One module per feature holds its routes, its request and response models and its logic. `http/` holds what
all features share, `context.py` what all requests of one app share.
"""
