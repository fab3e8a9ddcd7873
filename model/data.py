"""Labelled pictures in memory, from a folder or from torchvision's CIFAR-10."""

import contextlib
import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from model import files
from model.entries import SMALL

Split = Literal["train", "test"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
NAMES = "classes.txt"


class DataError(ValueError):
    """A dataset is missing or unusable; the message names the folder or the file."""


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one size with their labels, kept as bytes."""

    images: Tensor
    """uint8, shape (N,3,S,S), RGB."""
    labels: Tensor
    """int64, shape (N,), indices into ``classes``."""
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.images.to(device), self.labels.to(device), self.classes)

    def fingerprint(self) -> str:
        """SHA-256 of pictures, labels and class names, in hexadecimal."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for tensor in (self.images, self.labels):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def every(self, count: int) -> Self:
        """At most ``count`` pictures, evenly spaced, so that all classes stay represented."""
        if count >= len(self):
            return self
        chosen = evenly_spaced(len(self), count).to(self.images.device)
        return type(self)(self.images[chosen], self.labels[chosen], self.classes)

    def split_off(self, count: int) -> tuple[Self, Self]:
        """The other pictures, and ``count`` that are evenly spaced."""
        if count == 0:
            return self, type(self)(self.images[:0], self.labels[:0], self.classes)
        chosen = evenly_spaced(len(self), count).to(self.images.device)
        rest = torch.ones(len(self), dtype=torch.bool, device=self.images.device)
        rest[chosen] = False
        others, own = (
            type(self)(self.images[which], self.labels[which], self.classes) for which in (rest, chosen)
        )
        return others, own

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures as floats in [0,1], shape (B,3,S,S), with their labels, in order."""
        for images, labels in zip(self.images.split(batch_size), self.labels.split(batch_size), strict=True):
            yield to_float(images), labels


def evenly_spaced(total: int, count: int) -> Tensor:
    """Indices of ``count`` of ``total`` things that are sorted by class, shape (count,), int64."""
    return torch.linspace(0, total - 1, count).long()


def to_float(images: Tensor) -> Tensor:
    """Bytes to floats in [0,1], channels last in memory."""
    return images.float().div_(255).contiguous(memory_format=torch.channels_last)


def load_split(root: Path | None, split: Split) -> ImageSet:
    """Load one split.

    Args:
        root: folder with ``train/CLASS/*`` and ``test/CLASS/*``; None means CIFAR-10, which
            torchvision downloads (170 MB) to ``data/`` of the repository on first use.
        split: "train" or "test".
    """
    return _load_cifar10(split) if root is None else load_folder(root / split)


def load_folder(folder: Path, size: int | None = None, crop: float = 1.0) -> ImageSet:
    """Load the pictures ``CLASS/*`` of a folder.

    Args:
        folder: its sub-folders are the classes, in alphabetical order. A file ``classes.txt`` in it or beside
            it may give them other names, a line each.
        size, crop: of the square that is used of each, see :func:`central_square`. None: small square
            pictures that are all of one size keep it, others become 32 pixels wide.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} (expected train/CLASS/* and test/CLASS/*)")
    folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    classes = _class_names(folder, folders)
    files = [
        (path, label)
        for label, name in enumerate(folders)
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise DataError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}) in class folders")
    with ThreadPoolExecutor() as pool:
        size = size or _common_size(pool.map(lambda item: _size(item[0]), files))
        arrays = list(pool.map(lambda item: _read_picture(item[0], size, crop), files))
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()  # (N,3,S,S)
    return ImageSet(images, torch.tensor([label for _, label in files]), classes)


def _class_names(folder: Path, folders: list[str]) -> tuple[str, ...]:
    """The names of the classes: those of their folders, or what a file says instead."""
    for path in (folder / NAMES, folder.parent / NAMES):
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise DataError(f"{path} is not UTF-8: {error}") from error
            names = tuple(line.strip() for line in text.splitlines())
            if len(set(names)) != len(names) or len(names) != len(folders) or not all(names):
                raise DataError(f"{path} must have {len(folders)} different names, a line each")
            return names
    return tuple(folders)


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, in pixels."""
    with _opened(path) as image:
        return image.size


def _common_size(sizes: Iterable[tuple[int, int]]) -> int:
    """The side of small square pictures that are all of one size, else that of CIFAR-10's."""
    (width, height), *others = set(sizes)
    return width if width == height <= SMALL and not others else 32


def load_photographs(path: Path, size: int, crop: float = 1.0) -> ImageSet:
    """All pictures of a folder or a zip archive, whatever its sub-folders are called, without labels.

    Args:
        path: of the folder or the archive.
        size, crop: of the square that is used of each, see :func:`central_square`.
    """
    with contextlib.ExitStack() as stack:
        root: Path | zipfile.Path = path
        if path.is_file():
            try:
                root = zipfile.Path(stack.enter_context(zipfile.ZipFile(path)))
            except zipfile.BadZipFile as error:
                raise DataError(f"{path} is neither a folder nor a zip archive: {error}") from error
        elif not path.is_dir():
            raise DataError(f"there is no folder or zip archive {path}")
        files = [file for file in _walk(root) if Path(file.name).suffix.lower() in SUFFIXES]
        files.sort(key=str)
        if not files:
            raise DataError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")
        with ThreadPoolExecutor() as pool:
            arrays = list(pool.map(lambda file: _read_picture(file, size, crop), files))
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()  # (N,3,S,S)
    return ImageSet(images, torch.zeros(len(images), dtype=torch.int64), ("photograph",))


def _walk(folder: "Path | zipfile.Path") -> Iterator["Path | zipfile.Path"]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def _read_picture(path: "Path | zipfile.Path", size: int, crop: float) -> np.ndarray:
    with _opened(path) as image:
        if image.mode.startswith(("I", "F")):
            raise DataError(f"{path} has more than 8 bits a channel: scale it to 8")
        picture = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(central_square(picture, size, crop))


UNREADABLE = (OSError, ValueError, SyntaxError, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError)
"""What a damaged picture, or one in a damaged archive, may raise."""


@contextlib.contextmanager
def _opened(path: "Path | zipfile.Path") -> Iterator[Image.Image]:
    """A picture's file, opened; what goes wrong with it in the block is said with its name."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            yield image
    except UNREADABLE as error:
        raise DataError(f"{path} is not a readable picture: {error}") from error


Box = tuple[float, float, float, float]


def central_box(width: int, height: int, size: int, crop: float = 1.0) -> Box:
    """What :func:`central_square` shows of a picture: (left, top, right, bottom), in pixels."""
    if (width, height) == (size, size):
        return (0, 0, width, height)
    side = crop * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def central_square(picture: Image.Image, size: int, crop: float = 1.0) -> Image.Image:
    """The middle of a picture, scaled to ``size`` x ``size``.

    A picture of that size already stays what it is, so that a saved result can be put in again.

    Args:
        picture: in RGB.
        crop: side of the square as a share of the picture's shorter one, in (0,1].
    """
    if picture.size == (size, size):
        return picture
    return picture.resize((size, size), Image.Resampling.BICUBIC, central_box(*picture.size, size, crop))


def _load_cifar10(split: Split) -> ImageSet:
    from torchvision.datasets import CIFAR10

    try:
        dataset = CIFAR10(str(files.WORKPLACE / "data"), train=split == "train", download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"CIFAR-10 could not be downloaded ({error}); name a folder with --data") from error
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()  # (N,3,32,32)
    return ImageSet(images, torch.tensor(dataset.targets), tuple(dataset.classes))


def cutmix(
    images: Tensor, labels: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Some pictures get a random box of another one's (Yun et al., "CutMix", ICCV 2019).

    Args:
        images: shape (B,C,H,W), any type.
        labels: shape (B,).
        share: of the pictures that are mixed, in [0,1].
        generator: source of the randomness, on the pictures' device.

    Returns:
        The mixed pictures, the labels of the pictures that the boxes came from, and the share of each picture
        that is still its own, (B,) in [0,1].
    """
    batch, _, height, width = images.shape
    device = images.device
    random = torch.rand(4, batch, generator=generator, device=device)
    mixed, side = random[0] < share, random[1].sqrt()  # the box's area is uniform
    inside = mixed[:, None, None]
    for length, centre, shape in ((height, random[2], (1, height, 1)), (width, random[3], (1, 1, width))):
        where = (torch.arange(length, device=device) + 0.5).view(shape) / length
        inside = inside & (
            (where - centre[:, None, None]).abs() * 2 < side[:, None, None]
        )  # (B,H,W) in the end
    others = torch.randperm(batch, generator=generator, device=device)
    together = torch.where(inside[:, None], images[others], images)
    return together, labels[others], 1 - inside.float().mean((1, 2))


def random_crops(images: Tensor, size: int, generator: torch.Generator, padding: int = 0) -> Tensor:
    """One random crop of each picture, half of them mirrored.

    Args:
        images: shape (B,C,H,W), any type.
        size: side of the crops, at most H + 2 * padding.
        generator: source of the randomness, on the pictures' device.
        padding: pixels of mirrored border that a crop may reach into.

    Returns:
        Shape (B,C,size,size), same type.
    """
    batch, _, height, width = images.shape
    device = images.device

    def draw(high: int) -> Tensor:
        return torch.randint(high, (batch, 1), generator=generator, device=device)

    def span(length: int) -> Tensor:
        start = draw(length + 2 * padding - size + 1) - padding
        index = (start + torch.arange(size, device=device)).abs()  # (B,size), mirrored at 0
        return torch.where(index >= length, 2 * length - 2 - index, index)

    rows, columns = span(height), span(width)
    columns = torch.where(draw(2) == 1, columns.flip(1), columns)
    which = torch.arange(batch, device=device)[:, None, None]
    crops = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def central_crop(images: Tensor, side: int) -> Tensor:
    """The middle of square pictures (B,C,S,S), shape (B,C,side,side); all of smaller ones."""
    edge = max(0, images.shape[-1] - side) // 2
    return images[..., edge : edge + side, edge : edge + side]
