"""Learning a bridge by contrast."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.worded import COLOURS, KINDS, concept

from lookalike.text_search import contrastive, fit_bridge
from lookalike.text_search.bridge import Moments, units
from lookalike.text_search.item_text import ItemText
from lookalike.types import Item


def pairs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images and texts that share eight hidden numbers, which the images bend."""
    draw = np.random.default_rng(seed)
    hidden = draw.standard_normal((count, 8))
    shown = np.hstack([np.tanh(2 * hidden), 0.5 * draw.standard_normal((count, 24))])
    said = hidden @ draw.standard_normal((8, 12)) + 0.5 * draw.standard_normal((count, 12))
    return shown.astype(np.float32), said.astype(np.float32), [str(number) for number in range(count)]


def loss(bridge: object, images: np.ndarray, texts: np.ndarray) -> float:
    """InfoNCE from images to texts, in float64."""
    shown, said = bridge.images(images).astype(float), bridge.texts(texts).astype(float)  # type: ignore[attr-defined]
    logits = shown @ said.T / contrastive.TEMPERATURE
    return float(np.mean(np.log(np.exp(logits - np.diag(logits)[:, None]).sum(axis=1))))


def test_the_gradient_is_that_of_the_loss() -> None:
    images, texts, _ = pairs(20)
    images = units(images)
    draw = np.random.default_rng(1)
    maps = [
        draw.standard_normal((32, 5)).astype(np.float32),
        draw.standard_normal((12, 5)).astype(np.float32),
    ]
    groups = np.array([0, 0, *range(1, 19)])  # two images of one title

    def value(image_map: np.ndarray, text_map: np.ndarray) -> float:
        shown = images.astype(float) @ image_map
        said = texts.astype(float) @ text_map
        shown /= np.linalg.norm(shown, axis=1, keepdims=True)
        said /= np.linalg.norm(said, axis=1, keepdims=True)
        logits = shown @ said.T / contrastive.TEMPERATURE
        logits[0, 1] = logits[1, 0] = -np.inf
        right = np.diag(logits)
        across, down = np.exp(logits).sum(axis=1), np.exp(logits).sum(axis=0)
        return float(np.mean((np.log(across) + np.log(down)) / 2 - right))

    found = contrastive._gradients(images, texts, groups, *maps)
    for number, (row, column) in ((0, (3, 2)), (0, (30, 4)), (1, (0, 0)), (1, (11, 3))):
        moved = [[one.astype(float) for one in maps] for _ in range(2)]
        moved[0][number][row, column] += 1e-4
        moved[1][number][row, column] -= 1e-4
        slope = (value(*moved[0]) - value(*moved[1])) / 2e-4
        assert found[number][row, column] == pytest.approx(slope, rel=2e-2, abs=1e-3)


def test_contrast_lowers_the_loss_on_other_pairs() -> None:
    images, texts, titles = pairs(1_500)
    learned, other = slice(0, 1_000), slice(1_000, 1_500)
    bridge = Moments.of(images[learned], texts[learned]).bridge(0.1, 12)
    better = contrastive.improved(bridge, images[learned], texts[learned], titles[learned])
    assert loss(better, images[other], texts[other]) < 0.98 * loss(bridge, images[other], texts[other])
    again = contrastive.improved(bridge, images[learned], texts[learned], titles[learned])
    assert np.array_equal(again.image_map, better.image_map)


@pytest.mark.parametrize("wins", [True, False])
def test_held_out_titles_decide_whether_contrast_is_used(wins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    named = [(colour, kind) for colour in COLOURS for kind in KINDS for _ in range(5)]
    noise = 0.2 * draw.standard_normal((len(named), 16))
    vectors = (np.array([concept(*each) for each in named]) + noise).astype(np.float32)
    texts = [ItemText.of(Item("x", title=" ".join(each))) for each in named]
    monkeypatch.setattr(fit_bridge, "FEWEST_FOR_CONTRAST", 64)
    if wins:  # against a regression in too few directions
        monkeypatch.setattr(fit_bridge, "dimensions_for", lambda _: 2)
        monkeypatch.setattr(fit_bridge, "improved", in_all_directions)
    else:  # what contrast made worse
        monkeypatch.setattr(fit_bridge, "improved", lambda bridge, *_: worsened(bridge))
    fitted, _ = fit_bridge.fit_bridge(vectors, texts)
    assert fitted is not None
    assert fitted.quality.objective == ("contrast" if wins else "ridge")
    assert fitted.quality.recall_1 > 0.5


def in_all_directions(_: object, images: np.ndarray, texts: np.ndarray, titles: list[str]) -> object:
    return contrastive.improved(Moments.of(images, texts).bridge(0.1, 16), images, texts, titles)


def worsened(bridge: object) -> object:
    from dataclasses import replace

    return replace(bridge, image_map=bridge.image_map[::-1].copy())  # type: ignore[type-var,attr-defined]
