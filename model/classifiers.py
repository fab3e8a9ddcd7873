"""Classifiers by name. Each takes RGB in [0,1], normalises inside, and returns logits."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from model import imagenet
from model.checkpoint import Pretrained, load_tensors
from model.config import ClassifierConfig
from model.imagenet import OnProgress
from model.zoo import CLASSIFIERS, UnknownClassifierError, default_classifier, find_classifier

__all__ = [  # the zoo's names, too, for whoever looks for them here
    "ARCHITECTURES",
    "CLASSIFIERS",
    "Classifier",
    "DefendedClassifier",
    "UnknownClassifierError",
    "load_classifier",
]


def conv_bn(in_channels: int, out_channels: int, pool: bool = False) -> nn.Sequential:
    """3x3 convolution, optional 2x2 max-pooling, batch norm, ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.BatchNorm2d(out_channels), nn.ReLU())


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet9(classes: int) -> nn.Sequential:
    """A narrow ResNet-9 (after D. Page, "How to train your ResNet", 2018).

    Half the usual width: 95 million multiply-adds per 32x32 picture, 1.6 million parameters.
    """
    return nn.Sequential(
        conv_bn(3, 32),  # (B,32,32,32)
        conv_bn(32, 64, pool=True),  # (B,64,16,16)
        Residual(conv_bn(64, 64), conv_bn(64, 64)),
        conv_bn(64, 128, pool=True),  # (B,128,8,8)
        conv_bn(128, 256, pool=True),  # (B,256,4,4)
        Residual(conv_bn(256, 256), conv_bn(256, 256)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),  # (B,256)
        nn.Linear(256, classes),
    )


class PreactBlock(nn.Module):
    """Two 3x3 convolutions, each after its batch norm and ReLU, and a shortcut (He et al., ECCV 2016).

    Where the number of channels changes, the shortcut is a 1x1 convolution and the block halves the sides
    by ``stride``.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            if in_channels != out_channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = torch.relu(self.norm1(x))
        same = x if self.shortcut is None else self.shortcut(activated)
        return same + self.conv2(torch.relu(self.norm2(self.conv1(activated))))


def preact_resnet(classes: int, stem: int, widths: tuple[int, ...], blocks: int) -> nn.Sequential:
    """A pre-activation ResNet (He et al., "Identity mappings in deep residual networks", ECCV 2016).

    It strides where ``resnet9`` takes maxima, and averages at its end.

    Args:
        classes: how many it tells apart.
        stem: channels of the first convolution.
        widths: channels of each group of blocks; every group but the first begins by halving the sides.
        blocks: in each group.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, stem, 3, padding=1, bias=False)]  # (B,stem,H,W)
    channels = stem
    for group, width in enumerate(widths):
        for block in range(blocks):
            layers.append(PreactBlock(channels, width, 2 if group and not block else 1))
            channels = width
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # (B,channels)
        nn.Linear(channels, classes),
    )


def resnet50(classes: int) -> nn.Module:
    """ResNet-50 (He et al. 2016) for small pictures: a stem of 3x3 that keeps the size, and no max-pooling.

    1.3 billion multiply-adds per 32x32 picture, 23.5 million parameters.
    """
    net = imagenet.resnet50(classes)
    stem = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.conv1 = stem
    net.maxpool = nn.Identity()
    return net


ARCHITECTURES: dict[str, Callable[[int], nn.Module]] = {
    "resnet9": resnet9,
    # 41 million multiply-adds per 32x32 picture, 0.3 million parameters.
    "preact-resnet20": lambda classes: preact_resnet(classes, 16, (16, 32, 64), blocks=3),
    # 556 million, 11 million.
    "preact-resnet18": lambda classes: preact_resnet(classes, 64, (64, 128, 256, 512), blocks=2),
    # 5.2 billion, 36 million (Zagoruyko and Komodakis, "Wide residual networks", 2016).
    "wide-resnet28-10": lambda classes: preact_resnet(classes, 16, (160, 320, 640), blocks=4),
    "resnet50": resnet50,
    **{lite.arch: lite.network for lite in imagenet.LITES},
    "torchvision-resnet50": lambda classes: imagenet.resnet50(),
}


class Classifier(Pretrained, library_name="comdefend", license="mit"):
    """A network with its normalisation inside.

    ::

        x (B,3,H,W) in [0,1] --(x - mean) / std--> net --> logits (B,classes)
    """

    config_class = ClassifierConfig
    config: ClassifierConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        if config.arch not in ARCHITECTURES:
            raise UnknownClassifierError(
                f"unknown architecture {config.arch!r}; choose from {sorted(ARCHITECTURES)}"
            )
        self.config = config
        self.net = ARCHITECTURES[config.arch](len(config.classes))
        # Not persistent: they are in config.json, and one place is enough.
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,classes), of RGB pictures, shape (B,3,H,W), range [0,1]."""
        return self.net((x - self.mean) / self.std)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees of pictures, shape (B,F), and the logits, shape (B,classes).

        Only networks that are a plain sequence (``nn.Sequential``) can tell.
        """
        *layers, last = cast("nn.Sequential", self.net)
        features = (x - self.mean) / self.std
        for layer in layers:
            features = layer(features)
        return features, last(features)


class DefendedClassifier(nn.Module):
    """A classifier that sees only what the codec lets through.

    ::

        x (B,3,H,W) --codec--> x_hat (B,3,H,W) --classifier--> logits (B,classes)

    Differentiable end to end (the codec passes its gradient straight through), so this is also
    the system that an adaptive attacker attacks.
    """

    def __init__(self, classifier: nn.Module, codec: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.codec = codec
        self.training = classifier.training  # wrapping a trained model leaves it in evaluation mode

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.classifier.classes  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,classes), of RGB pictures, shape (B,3,H,W), range [0,1]."""
        return self.classifier(self.codec(x))


def load_classifier(
    name: str = default_classifier("small"),
    device: str | torch.device = "cpu",
    on_progress: OnProgress | None = None,
) -> Classifier:
    """A trained classifier, ready for inference.

    Args:
        name: a key of :data:`model.zoo.CLASSIFIERS`.
        device: where to put it.
        on_progress: called with the share done where weights are downloaded.

    Raises:
        UnknownClassifierError: no classifier has that name.
        WeightsError: its weights are missing or damaged, or cannot be downloaded.
    """
    entry = find_classifier(name)
    if entry.origin is None:
        return Classifier.from_pretrained(entry.folder, map_location=device)
    found = entry.origin.tensors(on_progress)
    model = Classifier(entry.config())
    load_tensors(model.net, found, model.config.arch)
    return model.eval().to(device)
