"""The phases of a training: the feature layer on cached features, then optionally the backbone under it.

The numbers were chosen on held-out parts of a clothing and a grocery data set of 3,000 photos each; see
docs/training.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from lookalike.evaluation.retrieval import retrieval
from lookalike.training.fit.batch_sampling import Rows
from lookalike.training.fit.head import Head
from lookalike.training.fit.last_stages import Tail
from lookalike.training.fit.loop import Phase
from lookalike.training.fit.losses import PAIRWISE
from lookalike.training.fit.stage_inputs import StageInputs
from lookalike.training.fit.training_input import Material
from lookalike.training.options import TrainingOptions
from lookalike.types import Vectors

LAYER_EPOCHS = 12
LAYER_EPOCHS_BEFORE_STAGES = 8
STAGE_EPOCHS = 20
LAYER_BATCH = 256
STAGE_BATCH = 64
LAYER_RATE = 2e-3
STAGE_RATE = 6e-4
STAGE_WARM_UP = 0.5
ENCODING_BATCH = 128


def layer_phase(material: Material, head: Head, options: TrainingOptions) -> Phase:
    """Train the feature layer and the class weights; an epoch uses every view of every training image."""
    views = material.features.shape[1]
    train = material.train
    flat = material.features[train].reshape(len(train) * views, -1)
    centre = material.centre

    def metrics() -> Mapping[str, float]:
        vectors = head.embed(centre)
        return _judge(material, vectors[material.validation], vectors[train], train)

    epochs = LAYER_EPOCHS_BEFORE_STAGES if options.trains_backbone else options.epochs or LAYER_EPOCHS
    return Phase(
        name="feature layer",
        variables=head.trained(),
        undecayed=head.undecayed,
        embed=head,
        classes=head.classes,
        inputs=lambda rows, _rng: flat[rows],
        labels=np.repeat(material.labels[train], views),
        metrics=metrics,
        loss=options.loss,
        epochs=epochs,
        batch=LAYER_BATCH,
        learning_rate=LAYER_RATE,
        seed=options.seed,
    )


def stage_phase(
    material: Material, head: Head, tail: Tail, inputs: StageInputs, options: TrainingOptions
) -> Phase:
    """Train stages of the backbone and the feature layer; an epoch uses a random view of every image.

    With the whole network as `tail`, this is ordinary fine-tuning.
    """
    train = material.train
    probes = material.probes()

    def metrics() -> Mapping[str, float]:
        rows = np.concatenate([material.validation, probes])
        vectors = head.embed(tail_features(tail, inputs, rows))
        count = len(material.validation)
        return _judge(material, vectors[:count], vectors[count:], probes)

    layers = {name: variable for layer in tail.layers() for name, variable in layer.trained().items()}
    undecayed = [name for name in layers if not name.endswith("kernel")]
    return Phase(
        name="whole network" if options.whole_network else "last stages",
        variables={**head.trained(), **layers},
        undecayed=[*head.undecayed, *undecayed],
        embed=lambda batch, seed: head(tail(batch), seed),
        classes=head.classes,
        inputs=lambda rows, rng: inputs.sample(train[rows], rng),
        labels=material.labels[train],
        metrics=metrics,
        loss=options.loss,
        epochs=options.epochs or STAGE_EPOCHS,
        batch=STAGE_BATCH * (2 if options.loss in PAIRWISE else 1),
        learning_rate=STAGE_RATE,
        warm_up=STAGE_WARM_UP,
        seed=options.seed,
    )


def tail_features(tail: Tail, inputs: StageInputs, rows: Rows, view: int = 0) -> Vectors:
    """Features of one view of some images, computed by the trained stages: (n, features) float32."""
    run = _compiled(tail)
    results = []
    for start in range(0, len(rows), ENCODING_BATCH):
        batch = inputs.view(rows[start : start + ENCODING_BATCH], view)
        results.append(run(tf.cast(batch, tf.float32)).numpy())
    return np.concatenate(results)


def _compiled(tail: Tail) -> Callable[[Any], Any]:
    if tail.compiled is None:
        tail.compiled = tf.function(tail, autograph=False)
    compiled: Callable[[Any], Any] = tail.compiled
    return compiled


def _judge(material: Material, queries: Vectors, gallery: Vectors, rows: Rows) -> Mapping[str, float]:
    found = retrieval(queries, material.labels[material.validation], gallery, material.labels[rows])
    return {"recall_at_1": round(found.recall(1), 4), "map_at_r": round(found.map_at_r, 4)}
