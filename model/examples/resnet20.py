"""Someone else's classifier in the evaluation: one registry line, and the network that it names.

The network is the ResNet-20 for CIFAR-10 of He et al. (2016), with shortcuts that pad (option A)::

    RESNET20=resnet20.safetensors python app.py --evaluate --data FOLDER \
        --with model/examples/resnet20.py --classifier resnet20
"""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from model.config import ClassifierConfig
from model.entries import ClassifierEntry, Origin
from model.files import WeightsError, read_tensors
from model.networks import ARCHITECTURES
from model.zoo import CLASSIFIERS

CONFIG = ClassifierConfig(
    arch="resnet20",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_size=32,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        same = x[:, :, :: self.stride, :: self.stride]
        same = nn.functional.pad(same, (0, 0, 0, 0, self.padding, self.padding))
        return torch.relu(y + same)


class ResNet20(nn.Module):
    """Three stages of three blocks, (B,3,32,32) to (B,classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        logits: Tensor = self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))
        return logits


def tensors(_progress: object) -> dict[str, Tensor]:
    """The weights, from the file that the environment names; batch counters are no weights."""
    if "RESNET20" not in os.environ:
        raise WeightsError("the environment variable RESNET20 must name the file with resnet20's weights")
    found, _ = read_tensors(Path(os.environ["RESNET20"]))
    counters = {name: torch.tensor(0) for name in ResNet20(10).state_dict() if name.endswith("tracked")}
    return counters | found


ARCHITECTURES["resnet20"] = ResNet20
CLASSIFIERS["resnet20"] = ClassifierEntry(
    "resnet20", "ResNet-20, someone else's", origin=Origin(lambda: CONFIG, tensors)
)
