"""What the tab "How it works" shows: runs and figures that are made once, after the server has started."""

import logging
import threading
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.address import examples_of
from app.images import full_size, open_picture, prepare
from app.lab import Lab
from app.opening import FIRST, SCENARIO, Opening
from app.scenario import Outcome
from app.uploads import EXAMPLES
from model import ops
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.entries import Pictures
from model.zoo import CODECS, FAITHFUL, default_classifier, find_classifier

log = logging.getLogger(__name__)

CODED: dict[Pictures, str] = {
    "small": "ship.png",
    "garments": "ankle-boot.png",
    "photographs": "espresso.jpg",
}
"""The picture that a codec is shown by, according to what it was trained on."""
NOISES = (0, 1, 10, 100)
"""Noise on ComCNN's logits, in multiples of that of the paper's training."""
BINS = 20


@dataclass(frozen=True)
class Coded:
    """A picture through a codec."""

    picture: Tensor
    """(1,3,H,W) in [0,1]."""
    code: Tensor
    """(1,K,h,w), uint8 of 0 and 1."""
    reconstruction: Tensor
    """(1,3,H,W) in [0,1]."""


@dataclass(frozen=True)
class NoisyCode:
    """How the numbers of a code lie between 0 and 1 under noise, before the threshold."""

    sigma: float
    """Standard deviation of the noise on the logits."""
    shares: tuple[float, ...]
    """Of the numbers, in ``BINS`` bins of one width from 0 to 1."""
    flipped: float
    """Share of the numbers that the noise carried over the threshold."""


@dataclass(frozen=True)
class Lesson:
    """All that was computed for the tab."""

    grey_box: Outcome
    adaptive: Outcome
    """The same picture, attacked with the same strength by one who knows the codec, too."""
    coded: dict[str, Coded]
    """A picture through each codec, by its name."""
    trained: tuple[NoisyCode, ...]
    """The code of the paper's loss, under growing noise."""
    untrained: tuple[NoisyCode, ...]
    """The same of a network of that shape before its training."""


def make(lab: Lab, grey_box: Outcome | None = None) -> Lesson:
    """Compute a lesson: two runs, a picture through each codec, and codes under noise.

    Args:
        grey_box: the first of the two, where it was computed already: the one that the page opens with.

    Raises:
        WeightsError: weights are missing or damaged.
    """
    picture, config = open_picture(FIRST), lab.codec(FAITHFUL).config
    small = torch.cat([full_size(open_picture(path)) for path in examples_of("small")])
    return Lesson(
        grey_box=lab.run(picture, SCENARIO) if grey_box is None else grey_box,
        adaptive=lab.run(picture, replace(SCENARIO, threat_model="adaptive")),
        coded={name: coded(lab, name) for name in CODECS},
        trained=under_noise(lab.logits(small, FAITHFUL), config.sigma),
        untrained=under_noise(untrained_logits(small, config), config.sigma),
    )


def coded(lab: Lab, codec: str) -> Coded:
    """A picture of the kind that the codec was trained on, as a classifier gets it, through the codec."""
    kind = CODECS[codec].pictures
    config = find_classifier(default_classifier(kind)).config()
    x = prepare(open_picture(EXAMPLES / CODED[kind]), config.image_size, config.crop)
    return Coded(x, *lab.defend(x, codec))


def under_noise(logits: Tensor, sigma: float) -> tuple[NoisyCode, ...]:
    """The soft code of logits, (B,K,h,w), under noise that grows from none to many times ``sigma``."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for times in NOISES:
        code = ops.noisy_code(logits, times * sigma, generator)  # (B,K,h,w)
        counts = torch.histc(code, BINS, 0, 1)
        found.append(
            NoisyCode(
                sigma=times * sigma,
                shares=tuple((counts / counts.sum()).tolist()),
                flipped=((code > 0.5) != (logits > 0)).float().mean().item(),
            )
        )
    return tuple(found)


@torch.no_grad()
def untrained_logits(x: Tensor, config: CodecConfig) -> Tensor:
    """Logits, (B,K,h,w), of pictures, (B,3,H,W) in [0,1], by a ComCNN of that shape before its training."""
    codec, generator = ComDefend(config), torch.Generator().manual_seed(0)
    for weight in codec.com.parameters():
        if weight.ndim > 1:  # as ConvStack draws them, but the same at every start
            torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
    return codec.logits(x)


class Lessons:
    """The lesson of a lab, which is made once, in the background.

    Args:
        opening: what the page opens with: once it is there, its run is taken as the first one.
    """

    def __init__(self, lab: Lab, opening: Opening | None = None) -> None:
        self._lab = lab
        self._opening = opening
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.lesson: Lesson | None = None
        """Once it is made."""
        self.failed = False
        """Whether it could not be made; the log says why."""

    def begin(self) -> threading.Thread:
        """Make it, unless somebody has begun to; the thread that does."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._make, daemon=True)
                self._thread.start()
        return self._thread

    @property
    def is_pending(self) -> bool:
        """Whether it is being made."""
        return self._thread is not None and self._thread.is_alive()

    def _make(self) -> None:
        try:
            known = None if self._opening is None else self._opening.outcome
            self.lesson = make(self._lab) if known is None else make(self._lab, known)
        except Exception:
            log.exception("the lesson could not be made")
            self.failed = True
