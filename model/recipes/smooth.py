"""The purifying codec once more, taught to give in one pass what it gives on average under noise."""

from collections.abc import Collection

import torch
from torch import Tensor

from model.comdefend import ComDefend
from model.data import ImageSet
from model.recipes.purify import PurifyTask
from model.recipes.task import SettingError


class SmoothTask(PurifyTask):
    """Nearly clean pictures in, the mean of a noisy teacher's reconstructions out.

    A codec that was trained to remove strong noise still hands on a small perturbation of a clean picture
    (seven tenths of one of 5/255): there seems to be no noise to remove. Under a noise of its training the
    same codec hands on less, and the mean of what it makes of several such noises is the better defence in
    both respects, clean and attacked pictures; but it costs as many passes, and is no longer what one code
    means. So that mean is learned: a squared error towards single noisy reconstructions has it as its
    minimum (as in noise2noise: Lehtinen et al., ICML 2018).

    Everything else is :class:`PurifyTask`'s, but the guide is off: with so little noise in its input the
    codec serves it best by keeping all detail, and a perturbation with it (250 steps at a weight of 0.02
    took BIM at 8/255 before a third-party ResNet-20 from 69 % right to 56 %, on 500 training pictures).
    """

    name = "smooth"
    learning_rate = 3e-4
    epochs = 1
    settings = PurifyTask.settings | {
        "start": "comdefend-cifar10-purify",
        "weakest": 0.0,
        "strongest": 0.05,
        "shapes": "white",
        "guide": 0.0,
        "dropout": 0.3,
        "teacher": "comdefend-cifar10-purify",
        "noise": 0.1,
        "draws": 2,
    }
    """Besides :class:`PurifyTask`'s: ``teacher``, a codec by name or folder; ``noise``, the standard
    deviation of what it is shown; ``draws``, over how many of its reconstructions each target is averaged."""

    def __init__(self, data: ImageSet, settings: Collection[str] = ()) -> None:
        super().__init__(data, settings)
        if not (0 < self.chosen_settings["noise"] <= 1 and self.chosen_settings["draws"] >= 1):
            raise SettingError("0 < noise <= 1 and at least one draw are wanted")
        teacher = ComDefend.from_pretrained(self.chosen_settings["teacher"]).requires_grad_(False)
        self.teacher = teacher.to(memory_format=torch.channels_last)

    def target(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The mean of the teacher's reconstructions of ``x`` under noise, (B,3,H,W) in [0,1]."""
        teacher, draws = self.teacher.to(x.device), self.chosen_settings["draws"]
        total = torch.zeros_like(x)
        with torch.no_grad():
            for _ in range(draws):
                noise = torch.empty_like(x).normal_(generator=generator)
                total += teacher((x + self.chosen_settings["noise"] * noise).clamp(0, 1)).float()
        return total / draws
