"""Functions that write: ingest, builds, and the steps of a training."""
