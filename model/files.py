"""Files: written in one step, told apart by their hashes, and read strictly."""

import glob
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parent.parent
"""The folder that ``model/``, ``app/`` and ``weights/`` are in: of a clone, or of an installation."""
IN_CLONE = (REPOSITORY / "app.py").is_file()
WORKPLACE = REPOSITORY if IN_CLONE else Path()
"""Where ``data/`` and ``runs/`` are, and new weights go: the clone, else the current folder, since nothing is
to be written into an installation."""
LEFT_SECONDS = 3600
"""A file that is still being written after that long belongs to a writer that was killed."""


class WeightsError(RuntimeError):
    """Weights are missing, damaged or do not fit; the message names the file or the tensor.

    ``repair`` is the command that brings them back, where there is one.
    """

    def __init__(self, message: str, repair: str | None = None) -> None:
        super().__init__(message)
        self.repair = repair


class StorageError(OSError):
    """Something could not be written: no room, or no right to; what was there before is as it was."""


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """The system's errors of a block that replaces ``path``, as one sentence."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"{path} could not be written: {reason}. What was there before is as it was."
        ) from error


def _sweep(path: Path) -> None:
    """Remove what those left who were killed while they wrote ``path``."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(FileNotFoundError):  # somebody else was quicker
            if time.time() - leftover.stat().st_mtime > LEFT_SECONDS:
                leftover.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step: a reader sees the old bytes or the new ones, never a part.

    Raises:
        StorageError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON, indented, in one step."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """A JSON file's value; a missing or damaged file is an error that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing") from error
    except (ValueError, RecursionError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


def load_tensors(module: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Copy ``tensors`` into ``module``; a missing, extra or misshapen one is an error naming it."""
    expected = module.state_dict()
    problems = [f"tensor {name} is missing" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"tensor {name} is unknown" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"tensor {name} has shape {tuple(tensors[name].shape)}, not {tuple(wanted.shape)}"
        for name, wanted in expected.items()
        if name in tensors and tensors[name].shape != wanted.shape
    ]
    if problems:
        raise WeightsError(f"{source} does not fit: {'; '.join(problems)}")
    module.load_state_dict(tensors)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_hash(module: nn.Module) -> str:
    """SHA-256 of a module's tensors and their names, wherever they came from, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A folder, made if it has to be, that no other process holds in the meantime (but on Windows, where
    nobody is kept away).

    Raises:
        StorageError: another process holds it, or there can be no such folder.
    """
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"another process is writing in {folder}: name another folder") from error
        yield
    finally:
        os.close(descriptor)


def replace_folder(new: Path, target: Path) -> None:
    """Put the complete folder ``new`` in the place of ``target``; ``new`` stays where it is.

    Raises:
        StorageError: it cannot be written.
    """
    staged = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    with _written(target):
        if old.exists() and not target.exists():  # somebody was ended between the two steps below
            old.rename(target)
        for leftover in (staged, old):
            shutil.rmtree(leftover, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(new, staged)
            if target.exists():
                target.rename(old)
            try:
                staged.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
        except OSError:
            shutil.rmtree(staged, ignore_errors=True)
            raise
    shutil.rmtree(old, ignore_errors=True)
