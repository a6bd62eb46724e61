"""The HTTP side that all features share: app, access, limits, request bodies, problem documents, OpenAPI."""
