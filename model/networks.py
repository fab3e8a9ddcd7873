"""The networks of classifiers, by name: ResNets of small pictures, and those of photographs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import imagenet


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
        change: Tensor = self.body(x)
        return x + change


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
        change: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(activated))))
        return same + change


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

    Each block starts as its shortcut alone (Goyal et al., "Accurate, large minibatch SGD", 2017). 1.3 billion
    multiply-adds per 32x32 picture, 23.5 million parameters.
    """
    net = imagenet.resnet50(classes)
    stem = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.conv1 = stem
    net.maxpool = nn.Identity()
    for name, module in net.named_modules():
        if name.endswith("bn3"):
            nn.init.zeros_(module.weight)
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


@torch.no_grad()
def fold_batch_norms(net: nn.Module, x: Tensor) -> None:
    """Take the batch norms of a network that is trained no more into the convolutions before them.

    They are about a quarter of the time of a gradient through EfficientNet-Lite0 on a CPU. Which convolution
    is before which batch norm is seen as it works. Only those of one block belong together: what a block gets
    may go around it, too.

    Args:
        net: in evaluation mode.
        x: something that it takes.
    """
    convolutions = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    made: dict[Tensor, str] = {}  # by identity, as tensors are hashed
    pairs: list[tuple[str, str]] = []

    def is_made(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: made.update({output: name})

    def follows(name: str) -> Callable[..., None]:
        return lambda module, inputs: pairs.append((made.get(inputs[0], ""), name))

    hooks = [module.register_forward_hook(is_made(name)) for name, module in convolutions.items()]
    hooks += [module.register_forward_pre_hook(follows(name)) for name, module in norms.items()]
    net(x)
    for hook in hooks:
        hook.remove()
    for before, name in pairs:
        if before and before.rpartition(".")[0] == name.rpartition(".")[0]:
            net.set_submodule(before, fuse_conv_bn_eval(convolutions[before], norms[name]))
            net.set_submodule(name, getattr(norms[name], "act", nn.Identity()))  # timm's activates, too
