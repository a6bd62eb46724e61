"""Trainings that users start, watch and cancel: their records, and the workflow that runs them."""

from lookalike.layout import zip_key
from lookalike.training_jobs.records import ACTIVE, Publish, Source, Status, Training, Trainings, training_of

__all__ = ["ACTIVE", "Publish", "Source", "Status", "Training", "Trainings", "training_of", "zip_key"]
