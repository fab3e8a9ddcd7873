"""The paper's codec."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from model.comdefend import ComDefend
from model.config import CodecConfig, ConfigError
from model.data import ImageSet, random_crops, to_float
from model.device import many_graphs, on_gpu
from model.loss import unified_loss
from model.metrics import Means, psnr, ssim
from model.recipes.settings import Range, SettingError, Settings, setting
from model.recipes.task import S, Stage, Step, Task, stage_at


def widen(codec: ComDefend, x: Tensor, width: float) -> None:
    """Give a codec a straight-through gradient of that width, and logits to match; flips no bit.

    Training with hard codes wants it, since the paper's loss leaves logits far too large for any gradient.

    Args:
        x: pictures, shape (B,3,H,W), range [0,1], whose logits' median magnitude becomes the width.
    """
    if codec.config.bounded:
        return  # its logits and its gradient fit each other as they are
    codec.config = replace(codec.config, surrogate_width=width)
    last = codec.com.get_submodule(f"conv{codec.com.depth - 1}")
    with torch.no_grad():
        typical = codec.logits(x.to(last.get_parameter("weight").device)).abs().flatten()[: 2**22].median()
        for parameter in last.parameters():
            parameter.mul_(width / typical)


class AnyCodecTask(Task[S]):
    """What recipes of codecs have in common."""

    model: ComDefend

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.model.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=on_gpu(self.model) or None
        )

    def compile(self) -> None:
        many_graphs()
        self.model.com.compile()
        self.model.rec.compile()

    def finish(self, data: ImageSet) -> None:
        self.model.measure_surrogate(to_float(data.every(100).images))


@dataclass(frozen=True)
class CodecSettings(Settings):
    """The networks' shape: the paper's, or a smaller codec's."""

    com: tuple[int, ...] = setting(
        CodecConfig.com_widths, "output channels of the convolutions of ComCNN", Range(1), wanted=True
    )
    rec: tuple[int, ...] = setting(CodecConfig.rec_widths, "and of those of RecCNN", Range(1), wanted=True)


class CodecTask(AnyCodecTask[CodecSettings]):
    """The paper's recipe: clean pictures, noise on the code, the unified loss.

    Two departures, for speed alone. Most of the run sees 16x16 crops, since the networks are fully
    convolutional. And the code logits start as wide as the noise: with the usual initialisation
    they are about 1 wide, sigma = 20 drowns them, and a large part of the run goes by until they
    have grown (after 100 s on two cores: 25.4 dB with a noise that grows from 1 to 20, 27.4 dB so).

    Only pixels whose noisy logit falls near zero pass a gradient, so its size has a long tail. At
    Adam's usual settings and a rate of 1e-3 such a spike undid a run after 2000 steps (28.3 dB, then
    17.8); hence the short memory of the second moment, and clipping at a typical norm.
    """

    name = "codec"
    default_out = "comdefend-cifar10"
    batch_size = 32
    learning_rate = 6e-4
    epochs = 30
    score = "psnr_db"
    max_grad_norm = 0.1
    stages = (Stage(0.8, 16), Stage(0.2, 32))
    settings = CodecSettings()

    def __init__(self, data: ImageSet, settings: CodecSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        try:
            self.model = ComDefend(CodecConfig(self.settings.com, self.settings.rec))
        except ConfigError as error:
            raise SettingError(f"com and rec must be widths of convolutions: {error}") from error
        last = self.model.com.get_submodule(f"conv{self.model.com.depth - 1}")
        with torch.no_grad():
            last.get_parameter("weight").mul_(self.model.config.sigma)

    def floor(self) -> float:
        return 20.0

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        size = min(stage_at(self.stages, progress).size, images.shape[-1])
        x = to_float(random_crops(images, size, generator))
        output = self.model.noisy_forward(x, self.model.config.sigma, generator)
        loss = unified_loss(output, x)
        return Step(loss.total, {"psnr_db": -10 * loss.reconstruction.detach().log10()})

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Fidelity with hard codes, means of per-picture values."""
        means = Means()
        for x, _ in data.batches(250):
            x_hat = model(x)
            means.add(psnr_db=psnr(x, x_hat), ssim=ssim(x, x_hat))
        return means.result()
