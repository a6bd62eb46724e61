"""The HTTP API: one app for the local server and for the query Lambda."""
