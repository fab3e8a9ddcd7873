"""Folders of weights: strict loading, atomic saving.

A saved model is a folder as the Hugging Face Hub has it::

    config.json         the network's shape, and the SHA-256 of the weights
    model.safetensors   the weights
    README.md           the model card
    history.json        the training curve (where it was trained here)
"""

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors.torch import save as to_safetensors
from torch import nn

from model import files
from model.config import Config
from model.device import frozen
from model.files import (
    REPOSITORY,
    WeightsError,
    file_hash,
    load_tensors,
    read_json,
    read_tensors,
    write_atomically,
    write_json,
)

WEIGHTS = REPOSITORY / "weights"
"""Where the folders of the built-in models are. It is asked for here, when it is wanted."""
CONFIG_FILE = "config.json"
TENSORS_FILE = "model.safetensors"


def built_in_folder(name: str) -> Path:
    """Where the weights of a built-in model lie, or would.

    Outside of a clone, those that were trained in the current folder go before those that were installed.
    """
    own = files.WORKPLACE / "weights" / name
    return own if not files.IN_CLONE and own.is_dir() else WEIGHTS / name


def _repair(folder: Path) -> str | None:
    """The command that restores a folder of weights, if it is one of the repository's."""
    return f"git checkout -- weights/{folder.name}" if files.IN_CLONE and folder.parent == WEIGHTS else None


def find_folder(name_or_path: str | Path) -> Path | None:
    """The local folder that a name means; None where it can only be a Hub id ("owner/name").

    ``weights/NAME`` and the bare ``NAME`` of a built-in model mean :func:`built_in_folder`; in a clone,
    that is the same one whatever the current directory is.

    Raises:
        WeightsError: it names a local folder that does not exist.
    """
    text = str(name_or_path)
    path = Path(name_or_path)
    relative = path.relative_to("weights") if path.parts[:1] == ("weights",) else path
    if not path.is_absolute() and len(relative.parts) == 1:
        built_in = built_in_folder(str(relative))
        if built_in.is_dir():
            return built_in
    if path.is_dir():
        return path
    looks_local = isinstance(name_or_path, Path) or text.startswith((".", "/", "~", "weights"))
    if not looks_local and text.count("/") == 1:
        return None
    where = WEIGHTS / relative if not path.is_absolute() and len(path.parts) <= 2 else path
    raise WeightsError(
        f"there is no folder {where} (nor is {text!r} the id of a model on the Hub)", _repair(where)
    )


def read_record(name: str) -> dict[str, Any] | None:
    """What is told of the run that made a model, by its name or folder; None where nothing is."""
    history = (find_folder(name) or Path(name)) / "history.json"
    return read_json(history) if history.is_file() else None


C = TypeVar("C", bound=Config)


def read_config(folder: Path, kind: type[C]) -> tuple[C, str | None]:
    """What ``config.json`` says of a model, and the SHA-256 of its weights.

    Raises:
        WeightsError: the file is missing or damaged, or describes another kind of model.
    """
    stated = read_json(folder / CONFIG_FILE)
    if not isinstance(stated, dict):
        raise WeightsError(f"{folder / CONFIG_FILE} is damaged: it holds no JSON object")
    wanted_hash = stated.pop("sha256", None)
    try:
        return kind.from_dict(stated), wanted_hash
    except (ValueError, TypeError) as error:  # ConfigError, or a value of the wrong kind
        raise WeightsError(f"{folder / CONFIG_FILE} does not fit: {error}") from error


class Pretrained(nn.Module, PyTorchModelHubMixin):
    """``from_pretrained`` and ``save_pretrained``, made strict.

    The hub mixin's own loading guesses: a missing config is a warning, unknown entries are
    dropped, missing tensors are ignored, pickles are accepted. Here each of these is an error.
    """

    config_class: ClassVar[type[Config]]
    config: Config

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
    ) -> Self:
        """Load a saved model, ready for inference.

        Args:
            pretrained_model_name_or_path: a folder, a name under ``weights/``, or a Hub id.
            map_location: the device to put the model on.
            revision, force_download, token, cache_dir, local_files_only: as in ``huggingface_hub``.

        Raises:
            WeightsError: something is missing, damaged, or does not fit; the message names it.
        """
        name = pretrained_model_name_or_path
        return cls._from_pretrained(
            model_id=str(find_folder(name) or name),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            map_location=map_location,
        )

    @classmethod
    def _from_pretrained(cls, *, model_id: str, map_location: str | torch.device = "cpu", **hub: Any) -> Self:
        folder = find_folder(model_id) or _download(model_id, **hub)
        try:
            return cls._load(folder).to(map_location)
        except WeightsError as error:
            error.repair = _repair(folder)
            raise

    @classmethod
    def _load(cls, folder: Path) -> Self:
        config, wanted_hash = read_config(folder, cls.config_class)
        try:
            model = cls(config)
        except ValueError as error:
            raise WeightsError(f"{folder / CONFIG_FILE} does not fit: {error}") from error

        path = folder / TENSORS_FILE
        tensors, _ = read_tensors(path)
        load_tensors(model, tensors, path)  # first, since it can say what is wrong
        if wanted_hash is None:
            raise WeightsError(f"{folder / CONFIG_FILE} does not fit: missing entries ['sha256']")
        if wanted_hash != file_hash(path):
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the one that {CONFIG_FILE} states")
        return model.eval()

    def freeze(self) -> Self:
        """For answers, and gradients by the picture, alone: none by the weights; the model itself."""
        return frozen(self)

    def _save_pretrained(self, save_directory: Path) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        data = to_safetensors(tensors, metadata={"format": "pt"})
        write_atomically(save_directory / TENSORS_FILE, data)
        digest = hashlib.sha256(data).hexdigest()
        write_json(save_directory / CONFIG_FILE, {**self.config.to_dict(), "sha256": digest})


def folder_of(name_or_id: str) -> Path:
    """Where a model's files are: its folder, or the snapshot of a Hub id, which is fetched if it has to be.

    Raises:
        WeightsError: there is no such folder, or the Hub does not give it.
    """
    return find_folder(name_or_id) or _download(name_or_id)


def _download(model_id: str, **hub: Any) -> Path:
    """Fetch a model's two files from the Hub; the folder of its snapshot."""
    try:
        for name in (TENSORS_FILE, CONFIG_FILE):
            path = Path(hf_hub_download(repo_id=model_id, filename=name, **hub))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise WeightsError(f"{name} of {model_id!r} could not be had from the Hub: {error}") from error
    return path.parent
