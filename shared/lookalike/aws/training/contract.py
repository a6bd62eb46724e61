"""The contract between SageMaker and a training container: folders, files and variables.

```
/opt/ml/input/config/   hyperparameters.json, inputdataconfig.json, resourceconfig.json
/opt/ml/input/data/     a folder for each channel
/opt/ml/checkpoints/    kept when a spot instance is reclaimed, and restored on the next one
/opt/ml/model/          packed as model.tar.gz at the end
/opt/ml/output/failure  why it failed; SageMaker shows the first 1,024 characters
```

(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html). `SM_ML_ROOT` moves all
of it; SageMaker's own toolkit sets single folders with `SM_MODEL_DIR`, `SM_CHANNEL_TRAINING`, ….
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import InvalidInput
from lookalike.integrity import load_json

ROOT = "/opt/ml"
ROOT_VARIABLE = "SM_ML_ROOT"
CHANNELS = ("training", "train")
FAILURE_BYTES = 1_024


@dataclass(frozen=True, slots=True)
class Contract:
    """The folders of one training job.

    Attributes:
        root: the parent of all of them.
        environment: variables that the container was started with.
    """

    root: Path
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Contract:
        """The contract of this container."""
        return cls(Path(environment.get(ROOT_VARIABLE) or ROOT), environment)

    @property
    def hyperparameters(self) -> dict[str, str]:
        """The hyperparameters: name → text. Raises InvalidInput: they cannot be read."""
        given = self._config("hyperparameters.json") or _json(self.environment.get("SM_HPS", "{}"), "SM_HPS")
        return {
            str(name): value if isinstance(value, str) else json.dumps(value) for name, value in given.items()
        }

    @property
    def channel(self) -> Path | None:
        """The folder with the training data; None: no channel was given.

        Raises:
            InvalidInput: several channels, and none is called `training`; or its data is streamed.
        """
        given = self._config("inputdataconfig.json")
        found = {name: self._channel_folder(name) for name in given or self._folders()}
        chosen = next((name for name in CHANNELS if name in found), None)
        if chosen is None and len(found) == 1:
            (chosen,) = found
        if chosen is None:
            if found:
                raise InvalidInput(
                    "none of the channels is for training", got=", ".join(found), expected=CHANNELS[0]
                )
            return None
        mode = str(given.get(chosen, {}).get("TrainingInputMode", "File"))
        if mode == "Pipe":
            raise InvalidInput(
                "the channel is streamed", got=mode, expected="the input mode File or FastFile"
            )
        return found[chosen]

    @property
    def is_first_host(self) -> bool:
        """Whether this machine trains: only one machine of a job does, even if it has several."""
        given = self._config("resourceconfig.json")
        hosts = sorted(given.get("hosts") or ["algo-1"])
        return bool(given.get("current_host", hosts[0]) == hosts[0])

    @property
    def model(self) -> Path:
        """The folder that becomes the model artefact."""
        return Path(self.environment.get("SM_MODEL_DIR") or self.root / "model")

    @property
    def checkpoints(self) -> Path:
        """The folder that the next instance gets."""
        return self.root / "checkpoints"

    @property
    def scratch(self) -> Path:
        """Scratch folder on the job's disk."""
        return self.root / "work"

    def fail(self, sentence: str) -> None:
        """Write why the training failed."""
        folder = self.root / "output"
        folder.mkdir(parents=True, exist_ok=True)
        text = sentence.encode()[:FAILURE_BYTES].decode("utf-8", "ignore")
        (folder / "failure").write_text(text, "utf-8")

    def _config(self, name: str) -> dict[str, Any]:
        file = self.root / "input" / "config" / name
        return _json(file.read_text("utf-8"), name) if file.is_file() else {}

    def _channel_folder(self, name: str) -> Path:
        given = self.environment.get(f"SM_CHANNEL_{name.upper()}")
        return Path(given) if given else self.root / "input" / "data" / name

    def _folders(self) -> list[str]:
        data = self.root / "input" / "data"
        return sorted(entry.name for entry in data.iterdir() if entry.is_dir()) if data.is_dir() else []


def source_of(channel: Path) -> Path:
    """The source in a channel: its one zip file, or the folder itself.

    Raises:
        InvalidInput: it is empty, or holds several zip files.
    """
    files = [entry for entry in channel.rglob("*") if entry.is_file()] if channel.is_dir() else []
    zips = [file for file in files if file.suffix.lower() == ".zip"]
    if not files:
        raise InvalidInput(
            "there is nothing to train on",
            got="an empty channel",
            expected="a zip file, or images in one folder per class",
        )
    if len(zips) > 1:
        raise InvalidInput("the channel holds several zip files", got=len(zips), expected="one")
    return zips[0] if len(files) == 1 and zips else channel


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        found = load_json(text)
    except ValueError as error:
        raise InvalidInput(f"{name} cannot be read", got=str(error), expected="a JSON object") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{name} cannot be read", got=type(found).__name__, expected="a JSON object")
    return found
