"""Training against the attacker: a classifier alone, or a codec and a classifier together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from model import pretrained
from model.attacks.pgd import Descent, Goal, Label, Model, OtherAnswers, ascend, pgd
from model.classifiers import Classifier, DefendedClassifier
from model.comdefend import ComDefend
from model.data import ImageSet, random_crops, to_float
from model.device import many_graphs
from model.metrics import wilson_interval
from model.networks import ARCHITECTURES
from model.pretrained import Pretrained
from model.recipes.classifier import BELOW_ONE, classifier_to_start_from, config_for, halve_if_large, sgd
from model.recipes.codec import widen
from model.recipes.settings import SHARE, WEIGHT, Range, SettingError, Settings, setting
from model.recipes.task import Stage, Step, Task
from model.zoo import LIGHT, pairs

(PAIR,) = pairs()


class SystemOutput(NamedTuple):
    """What a system makes of pictures."""

    x_hat: Tensor
    """What goes into the classifier, shape (B,3,H,W)."""
    features: Tensor
    """What goes into its last layer, shape (B,F)."""
    logits: Tensor
    """Shape (B,classes)."""


def perturbed(
    model: Model, goal: Goal, x: Tensor, epsilon: float, steps: int, generator: torch.Generator
) -> Tensor:
    """Adversarial pictures to train on, shape (B,3,H,W), range [0,1].

    One step is N-FGSM (de Jorge et al., NeurIPS 2022): noise of twice the radius, a step of the whole
    radius, and no way back into the ball, which is what keeps single steps from being learned by heart. More
    steps are PGD from a random start, each of a quarter of the radius (Madry et al. 2018), or of more where
    they are too few to cross the ball.

    Args:
        model: the attacked system, [0,1] pictures to logits; it may draw no random numbers.
        goal: what is to rise.
        x: shape (B,3,H,W), range [0,1].
        epsilon: radius of the L-infinity ball in 1/255.
        steps: at least one.
        generator: source of the noise, on the pictures' device.
    """
    radius, once = epsilon / 255, steps == 1
    noise = torch.empty_like(x).uniform_(-1, 1, generator=generator)
    start = x + (2 if once else 1) * radius * noise
    ball, step_size = (math.inf, radius) if once else (radius, max(0.25, 1.25 / steps) * radius)
    return ascend(model, x, goal, Descent(steps), ball, step_size, start=start).adversarial


@dataclass(frozen=True)
class AdversarialSettings(Settings):
    """Where training starts, the attack, and the weights of the loss's parts."""

    arch: str = setting("preact-resnet18", "the network, where there is no start")
    start: str = setting("", "the classifier at the beginning (name or folder; empty: untrained)")
    epsilon: float = setting(8.0, "radius of the attack in 1/255", Range(0, 64, without_low=True))
    steps: int = setting(3, "steps of the attack: one is N-FGSM, more are PGD", Range(1))
    beta: float = setting(
        0.0, "weight of the divergence of TRADES; 0: cross-entropy on adversarial pictures", WEIGHT
    )
    smoothing: float = setting(0.1, "how much of each label is spread over all classes", SHARE)
    matching: float = setting(
        0.0, "weight of the angle (1 - cosine) between features of clean and adversarial pictures", WEIGHT
    )
    decay: float = setting(0.999, "decay of the moving average of the weights, at most; 0: none", BELOW_ONE)
    held_out: int = setting(1000, "training pictures on which the best epoch is chosen", Range(1))

    def changed(self, given: Mapping[str, Any]) -> Self:
        found = super().changed(given)
        return replace(found, arch="") if found.start else found  # the record names none that had no say


class AdversarialTask(Task[AdversarialSettings]):
    """A classifier trained on adversarial pictures, without a codec: the yardstick of :class:`RobustTask`.

    With ``beta`` the loss is that of TRADES (Zhang et al., ICML 2019): cross-entropy on clean pictures, and
    how far the answers to adversarial ones are from those to clean ones. Without, it is cross-entropy on the
    adversarial ones. The weights that count are a moving average, of the epoch that stood best against PGD
    on training pictures held out (robust overfitting: Rice, Wong and Kolter, ICML 2020).
    """

    name = "adversarial"
    default_out = PAIR.twin
    batch_size = 256
    learning_rate = 0.2
    epochs = 40
    score = "robust_accuracy"
    test_images = 2000
    max_grad_norm = math.inf
    stages = (Stage(1.0, 32),)
    settings = AdversarialSettings()
    padding = 4
    weight_decay = 5e-4
    judge = Descent(20, random_start=True)
    """The attack of the score, on the whole system (adaptive)."""

    def __init__(self, data: ImageSet, settings: AdversarialSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        self.decay, self.held_out = self.settings.decay, self.settings.held_out
        self.model = self.classifier = self.start(data).train()
        if not isinstance(self.classifier.net, nn.Sequential):
            raise SettingError(
                f"{self.classifier.config.arch} does not tell its features: choose another arch"
            )
        self.features_and_logits = self.classifier.features_and_logits

    def start(self, data: ImageSet) -> Classifier:
        """The classifier that training starts from; :attr:`before` becomes its record."""
        name, arch = self.settings.start, self.settings.arch
        if not name:
            if arch not in ARCHITECTURES:
                raise SettingError(f"arch must be one of {', '.join(ARCHITECTURES)}, got {arch!r}")
            return Classifier(config_for(data, arch))
        classifier = classifier_to_start_from(name, data)
        self.before = pretrained.read_record(name)
        return classifier

    def floor(self) -> float:
        return 1.5 / len(self.classifier.classes)

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return sgd(self.model, learning_rate, self.weight_decay)

    def compile(self) -> None:
        many_graphs()
        self.features_and_logits = torch.compile(self.classifier.features_and_logits)

    def forward(self, x: Tensor) -> SystemOutput:
        """What the system makes of pictures, shape (B,3,H,W), range [0,1]."""
        features, logits = self.features_and_logits(x)
        return SystemOutput(x, features.float(), logits.float())

    def infer(self, x: Tensor) -> Tensor:
        return self.forward(x).logits

    def attack(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Adversarial pictures against the whole system as it is at inference, shape (B,3,H,W)."""
        training = self.model.training
        # With the mean statistics of batch norm, which the attack must not move either; and without the
        # weights' gradients, which a compiled graph would compute although nobody asks for them.
        self.model.eval().requires_grad_(False)
        epsilon, steps = self.settings.epsilon, self.settings.steps
        if self.settings.beta:
            with torch.no_grad():
                wanted = self.forward(x).logits.softmax(1)
            goal: Goal = OtherAnswers(wanted)
        else:
            goal = Label(labels)
        found = perturbed(lambda at: self.forward(at).logits, goal, x, epsilon, steps, generator)
        self.model.train(training).requires_grad_(True)
        return found

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        adversarial = self.attack(x, labels, generator)
        beta, matching = self.settings.beta, self.settings.matching
        if not (beta or matching):
            output = self.forward(adversarial)
            loss, of_adversarial = self.error(output.logits, labels), output.logits
        else:
            output = self.forward(torch.cat((x, adversarial)))
            of_clean, of_adversarial = output.logits.chunk(2)
            loss = self.error(of_clean if beta else of_adversarial, labels)
            if beta:
                divergences = OtherAnswers(of_clean.softmax(1)).losses(of_adversarial)  # (B,)
                loss = loss + beta * divergences.sum() / len(x)
            clean, turned = output.features.chunk(2)
            loss = loss + matching * (1 - nn.functional.cosine_similarity(clean, turned)).mean()
        loss = loss + self.faithful(output.x_hat, x)
        right = (of_adversarial.detach().argmax(1) == labels).float().mean()
        return Step(loss, {"robust_accuracy": right})

    def error(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with smoothed labels."""
        return nn.functional.cross_entropy(logits, labels, label_smoothing=self.settings.smoothing)

    def faithful(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """What is lost of clean pictures ``x``, weighted; ``x_hat`` may show each several times."""
        return x.new_zeros(())

    def finish(self, data: ImageSet) -> None:
        halve_if_large(self.classifier)

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Accuracy on clean pictures and under adaptive PGD at ``epsilon``, with 95 % Wilson intervals.

        The second is an upper bound: stronger attacks are in the report of ``--evaluate``.
        """
        generator = torch.Generator(data.images.device).manual_seed(0)
        right, standing = 0, 0
        for x, labels in data.batches(250):
            unattacked = model(x).argmax(1) == labels
            found = pgd(model, x, labels, self.settings.epsilon, self.judge, generator).adversarial
            right += int(unattacked.sum())
            standing += int((unattacked & (model(found).argmax(1) == labels)).sum())
        figures: dict[str, float] = {}
        for name, count in (("accuracy", right), ("robust_accuracy", standing)):
            low, high = wilson_interval(count, len(data))
            figures |= {name: count / len(data), f"{name}_low": low, f"{name}_high": high}
        return figures


@dataclass(frozen=True)
class RobustSettings(AdversarialSettings):
    """Those of adversarial training, and the codec."""

    codec: str = setting(LIGHT, "the codec at the beginning (name or folder)")
    fidelity: float = setting(
        0.1, "weight of the squared error between reconstructions and clean pictures", WEIGHT
    )


class RobustTask(AdversarialTask):
    """A codec and a classifier, trained together against an attacker who knows both.

    ::

        x --attack through codec and classifier--> x_adv --codec, hard codes--> x_hat --classifier--> logits

    Gradients pass the threshold straight-through, those of the attack as well as those of the weights, with
    the slope of a Gaussian as wide as the code's logits: through a narrower one the attack would be blind,
    and the codec would learn to blind it.
    """

    name = "robust"
    default_out = PAIR.codec
    max_grad_norm = 1.0
    settings: RobustSettings = RobustSettings()
    width = 80.0
    """The straight-through gradient's, and the logits' median magnitude at the start."""
    codec_rate = 0.1
    """The codec's learning rate, in those of the classifier, which has batch norms and bears a higher one."""
    model: DefendedClassifier

    def __init__(self, data: ImageSet, settings: RobustSettings | None = None) -> None:
        super().__init__(data, settings)
        self.codec = ComDefend.from_pretrained(self.settings.codec)
        widen(self.codec, to_float(data.every(200).images), self.width)
        self.model = DefendedClassifier(self.classifier, self.codec.train())

    @classmethod
    def folders(cls, settings: AdversarialSettings) -> tuple[str, ...]:  # noqa: ARG003 - there is no choice
        return (cls.default_out, PAIR.classifier)

    def parts(self) -> tuple[Pretrained, ...]:
        return (self.codec, self.classifier)

    def joined(self, *parts: Pretrained) -> nn.Module:
        codec, classifier = parts
        return DefendedClassifier(classifier, codec)

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        found = sgd(self.classifier, learning_rate, self.weight_decay)
        found.add_param_group({"params": list(self.codec.parameters()), "lr_scale": self.codec_rate})
        return found

    def compile(self) -> None:
        super().compile()
        self.codec.com.compile()
        self.codec.rec.compile()

    def forward(self, x: Tensor) -> SystemOutput:
        x_hat = self.codec(x)
        return super().forward(x_hat)

    def faithful(self, x_hat: Tensor, x: Tensor) -> Tensor:
        clean = x.repeat(len(x_hat) // len(x), 1, 1, 1)
        return self.settings.fidelity * (x_hat.float() - clean).square().mean()

    def finish(self, data: ImageSet) -> None:
        super().finish(data)
        self.codec.measure_surrogate(to_float(data.every(100).images))
