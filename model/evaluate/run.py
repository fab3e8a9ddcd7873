"""The measuring itself: one unit of work after the other, each with a seed and a record of its own."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.attacks import attack, round_and_still_fool, round_inside_ball
from model.attacks.pgd import pgd as descend
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.data import ImageSet, evenly_spaced, to_float
from model.defences import AUTHORS, Codec
from model.evaluate.journal import Journal, Record
from model.evaluate.plan import MAIN, MI_FGSM, Preset, Scope, Strike
from model.evaluate.systems import System
from model.ops import keep_planes

BATCH_PIXELS, BATCH_PICTURES = 100 * 32 * 32, 100
"""At most in one batch. A gradient through the paper's codec needs about 12 kB a pixel: 1.2 GB so."""
LIGHT = 4
"""How many times more pixels where no codec of the paper's shape is in the way."""
CODEC_COST = 17
"""Of a pass through the paper's codec, in passes through a classifier, for the estimate of time left."""
FALLING = 0.3
"""Share of an attack's steps that are run, since pictures drop out as they fall: for that estimate."""
FLIP_IMAGES = 100
DIAL_IMAGES = 300
DIAL_POSITIONS = 12
"""At most so many numbers of planes are tried."""


@dataclass(frozen=True)
class Unit:
    """A piece of work that is done as a whole."""

    key: str
    cost: float
    """About, in passes of one picture through the classifier."""
    work: Callable[[int], list[Record]]
    """From a seed to records."""


class Suite:
    """All that is measured of some systems on some pictures.

    Args:
        systems: as :func:`model.evaluate.systems.load_systems` gives them, the undefended one among them.
        data: the pictures, of the classifier's size.
        preset: which attacks, and on how many of the pictures.
        source: another classifier with its name, to craft transferred pictures on; None leaves these out.
            It is not shown to systems that have it themselves.
        journal: where records go, and from where those of an interrupted run are taken.
        seed: of everything.
    """

    def __init__(
        self,
        systems: list[System],
        data: ImageSet,
        preset: Preset,
        source: tuple[str, nn.Module] | None,
        journal: Journal,
        seed: int = 0,
    ) -> None:
        self.systems = systems
        self.preset = preset
        self.source = source
        self.journal = journal
        self.seed = seed
        self.x = to_float(data.images)
        self.labels = data.labels
        count = len(self.x)
        adaptive = evenly_spaced(count, min(count, preset.adaptive_images))
        few, costly = (
            adaptive[evenly_spaced(len(adaptive), min(len(adaptive), images))]
            for images in (preset.few_images, preset.costly_images)
        )
        self.scopes: dict[Scope, Tensor] = {
            "all": torch.arange(count),
            "adaptive": adaptive,
            "few": few,
            "costly": costly,
        }

    # What there is to do.

    def units(self) -> list[Unit]:
        """All units of work, the most telling first."""
        found = [self._clean(system) for system in self.systems]
        strengths = sorted(self.preset.epsilons, key=lambda epsilon: epsilon != MAIN)
        classifiers = dict.fromkeys(system.classifier_name for system in self.systems)
        for epsilon in strengths:
            found += [self._noise(epsilon)]
            found += [
                self._grey(name, strike, epsilon)
                for name in classifiers
                for strike in self.preset.grey(epsilon)
                if strike.has_epsilon
            ]
        if self.source is not None and MAIN in strengths and self.preset.allows(MI_FGSM):
            found.append(self._transfer(MAIN))
        last: list[Unit] = []
        if len(self.scopes["adaptive"]):
            defended = [system for system in self.systems if not system.undefended]
            for epsilon in strengths:
                for system in defended:
                    found += [
                        self._direct(system, strike, epsilon)
                        for strike in self.preset.direct(epsilon, system.defence)
                    ]
            if MAIN in strengths:
                found += [
                    self._direct(system, strike, epsilon, scope)
                    for system in defended
                    for strike, epsilon, scope in self.preset.for_the_checks(system.defence)
                ]
            cascades = [
                self._direct(system, strike, epsilon, cascade=True)
                for epsilon in strengths
                for system in self.systems
                for strike in self.preset.cascade(epsilon, system.defence)
            ]
            # AutoAttack takes longest and sees least: it comes last of all.
            last = [unit for unit in cascades if "AutoAttack" in unit.key]
            found += [unit for unit in cascades if unit not in last]
            if MAIN in strengths:
                for system in self.systems:
                    for strike in self.preset.alone(MAIN, system.defence):
                        # Without a defence, those without a strength are the grey-box ones below.
                        if strike.has_epsilon or not system.undefended:
                            found.append(self._direct(system, strike, MAIN, scope="few"))
                found += [
                    self._grey(name, strike, MAIN, scope="few")
                    for name in classifiers
                    for strike in self.preset.grey(MAIN)
                    if not strike.has_epsilon
                ]
        if MAIN in strengths:
            found += [self._dial(system) for system in self.systems if _has_dial(system)]
        return found + last

    def run(self, deadline: float | None = None) -> list[str]:
        """Do what is not done yet.

        Args:
            deadline: on the clock of ``time.monotonic``; no unit begins after it.

        Returns:
            The keys of the units that were left undone.
        """
        units = self.units()
        layout = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
        with tqdm(total=sum(unit.cost for unit in units), bar_format=layout, dynamic_ncols=True) as bar:
            for unit in units:
                if unit.key in self.journal.units:
                    bar.total -= unit.cost
                    continue
                if deadline is not None and time.monotonic() > deadline:
                    break
                bar.set_postfix_str(unit.key)
                began = time.perf_counter()
                records = unit.work(self._seed(unit.key))
                seconds = round(time.perf_counter() - began, 2)
                for record in records:
                    record.setdefault("seconds", seconds)
                self.journal.write(unit.key, records)
                bar.update(unit.cost)
        return [unit.key for unit in units if unit.key not in self.journal.units]

    def _seed(self, key: str) -> int:
        """A unit's own seed, whatever came before it."""
        return int.from_bytes(hashlib.sha256(f"{self.seed} {key}".encode()).digest()[:4])

    # The units.

    def _clean(self, system: System) -> Unit:
        scope: Scope = "costly" if system.costly else "all"

        def work(seed: int) -> list[Record]:
            right = self.correct(system.module, *self._of(scope), seed)
            return [self._record(system, "no attacker", Strike("clean"), None, scope, right)]

        return Unit(f"clean {system.name}", len(self.x) * self._price(system), work)

    def _noise(self, epsilon: float) -> Unit:
        """Signs at random, as large as the attacks and as blind as can be."""

        def work(seed: int) -> list[Record]:
            generator = torch.Generator().manual_seed(seed)
            signs = torch.randint(0, 2, self.x.shape, generator=generator).mul_(2).sub_(1).to(self.x)
            noisy = round_inside_ball((self.x + epsilon / 255 * signs).clamp(0, 1), self.x, epsilon)
            return self._shown(self.systems, "no attacker", Strike("noise"), epsilon, "all", noisy, seed)

        cost = len(self.x) * sum(map(self._price, self.systems))
        return Unit(f"noise {epsilon:g}", cost, work)

    def _grey(self, classifier: str, strike: Strike, epsilon: float, scope: Scope = "all") -> Unit:
        """Pictures made against the classifier alone, shown to every defence before it."""
        systems = [system for system in self.systems if system.classifier_name == classifier]
        count = len(self.scopes[scope])

        def work(seed: int) -> list[Record]:
            target = systems[0].classifier
            x, labels = self._of(scope)
            if not strike.has_epsilon:
                return self._unbounded(systems, strike, target, seed)
            found = self.craft(target, x, labels, strike, epsilon, seed, stop_early=False)
            return self._shown(systems, "grey-box", strike, epsilon, scope, found, seed)

        cost = count * (strike.passes() + sum(map(self._price, systems)))
        return Unit(f"grey-box {classifier}: {strike.key}, {epsilon:g}", cost, work)

    def _transfer(self, epsilon: float) -> Unit:
        """Pictures made against another classifier: what an attacker without any access can do."""
        if self.source is None:
            raise ValueError("there is no classifier to transfer from")
        name, source = self.source
        systems = [system for system in self.systems if system.classifier_name != name]

        def work(seed: int) -> list[Record]:
            found = self.craft(source, self.x, self.labels, MI_FGSM, epsilon, seed, stop_early=False)
            shown = Strike("transfer", steps=MI_FGSM.steps, black_box=True)
            return self._shown(systems, "black-box", shown, epsilon, "all", found, seed)

        cost = len(self.x) * (MI_FGSM.passes() + sum(map(self._price, systems)))
        return Unit(f"transfer {epsilon:g}", cost, work)

    def _direct(
        self,
        system: System,
        strike: Strike,
        epsilon: float,
        scope: Scope = "adaptive",
        cascade: bool = False,
    ) -> Unit:
        """An attack on the defended system itself.

        What the system gets wrong unattacked is lost already. A cascade attacks only what still stands
        after all that was tried before on the same pictures at the same strength.
        """

        scope = "costly" if system.costly else scope

        def work(seed: int) -> list[Record]:
            if not strike.has_epsilon:
                return self._unbounded([system], strike, system.module, seed, direct=True)
            standing = self.standing(system, epsilon) if cascade else self._clean_right(system)
            chosen = self.scopes[scope]
            right = standing[chosen].clone()
            held = chosen[right]
            extra: Record = {}
            if len(held):
                x, labels = self.x[held], self.labels[held]
                with _through(system, strike.gradient):
                    found = self.craft(
                        system.module, x, labels, strike, epsilon, seed, not system.defence.noisy, extra
                    )
                right[right.clone()] = self.correct(system.module, found, labels, seed)
            who = "black-box" if strike.black_box else self._knowing(system)
            return [self._record(system, who, strike, epsilon, scope, right, extra, cascade)]

        manner = "cascade" if cascade else scope
        cost = len(self.scopes[scope]) * strike.passes() * self._price(system) * FALLING
        if cascade:
            cost *= FALLING
        return Unit(f"{manner} {system.name}: {strike.key}, {epsilon:g}", cost, work)

    def _unbounded(
        self, systems: list[System], strike: Strike, target: nn.Module, seed: int, direct: bool = False
    ) -> list[Record]:
        """DeepFool and C&W: how far they had to go, and how many of their pictures lie in the ball."""
        x, labels = self._of("few")
        raw = torch.cat(
            [
                attack(strike.name, target, a, b, steps=strike.steps, seed=seed + i, rounded=False)
                for i, (a, b) in enumerate(_batches(x, labels, target))
            ]
        )
        pairs = zip(_batches(x, labels, target), _batches(raw, labels, target), strict=True)
        with self._random(seed):
            rounded = torch.cat(
                [
                    round_and_still_fool(target, images, found, true, None)
                    for (images, true), (found, _) in pairs
                ]
            )
        inside = ((rounded - x).abs().amax((1, 2, 3)) * 255 <= MAIN + 1e-3).cpu()
        records = []
        for system in systems:
            right = self.correct(system.module, rounded, labels, seed)
            clean = self._clean_right(system)[self.scopes["few"]]
            raw_right = self.correct(system.module, raw, labels, seed)
            who = self._knowing(system) if direct or system.undefended else "grey-box"
            records.append(
                self._record(
                    system,
                    who,
                    strike,
                    MAIN,
                    "few",
                    clean & (right | ~inside),
                    {
                        **_reach("before_rounding", raw - x, clean, raw_right),
                        **_reach("rounded", rounded - x, clean, right),
                    },
                )
            )
        return records

    def _dial(self, system: System) -> Unit:
        """Accuracy against the number of planes that are kept, clean and grey-box."""
        codec = system.defence
        if not isinstance(codec, Codec):
            raise TypeError("only a codec has planes")
        chosen = evenly_spaced(len(self.x), min(len(self.x), DIAL_IMAGES))

        def work(seed: int) -> list[Record]:
            x, labels = self.x[chosen], self.labels[chosen]
            shown = {"clean": x}
            for strike in [strike for strike in self.preset.grey(MAIN) if strike.has_epsilon][:2]:
                shown[strike.name] = self.craft(
                    system.classifier, x, labels, strike, MAIN, seed, stop_early=False
                )
            records = []
            for name, pictures in shown.items():
                code = codec.codec.compress(pictures)
                size = (pictures.shape[-2], pictures.shape[-1])
                for planes in dial_positions(codec.codec.planes):
                    seen = codec.codec.reconstruct(keep_planes(code, planes), size)
                    right = self.correct(system.classifier, seen, labels, seed)
                    records.append(
                        {
                            "defence": system.name,
                            "dial": planes,
                            "attack": name,
                            "epsilon": None if name == "clean" else MAIN,
                            "threat_model": "no attacker" if name == "clean" else "grey-box",
                            "right": _bits(right),
                        }
                    )
            return records

        return Unit(f"dial {system.name}", len(chosen) * CODEC_COST * 20, work)

    # What the units share.

    def correct(self, model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        """Which pictures the model classifies rightly, shape (N,), bool, on the CPU."""
        # Not the random numbers that the attack was made under.
        with torch.no_grad(), self._random(seed ^ 0x5EED):
            batches = _batches(images, labels, model)
            return torch.cat([model(x).argmax(1) == y for x, y in batches]).cpu()

    @contextlib.contextmanager
    def _random(self, seed: int) -> Iterator[None]:
        """Torch's own random numbers, which noisy defences draw, from a seed; afterwards as before."""
        devices = [self.x.device] if self.x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield

    def standing(self, system: System, epsilon: float) -> Tensor:
        """Which of all pictures survived everything that was tried on a system, shape (N,), bool."""
        return worst_case(self.journal.records, system.name, epsilon, self.scopes)

    def _clean_right(self, system: System) -> Tensor:
        (record,) = (
            r for r in self.journal.records if r["defence"] == system.name and r["attack"] == "clean"
            and "dial" not in r
        )  # fmt: skip
        return spread(record, self.scopes)

    def _of(self, scope: Scope) -> tuple[Tensor, Tensor]:
        return self.x[self.scopes[scope]], self.labels[self.scopes[scope]]

    def _price(self, system: System) -> float:
        defence = system.defence
        if not isinstance(defence, Codec):
            return 1 + CODEC_COST * defence.learned
        return 1 + CODEC_COST * defence.codec.config.multiply_adds / CodecConfig().multiply_adds

    @staticmethod
    def _knowing(system: System) -> str:
        """What an attacker is called who knows all there is; without a defence, that is white-box."""
        return "white-box" if system.undefended else "adaptive"

    def craft(
        self,
        model: nn.Module,
        x: Tensor,
        labels: Tensor,
        strike: Strike,
        epsilon: float,
        seed: int,
        stop_early: bool,
        extra: Record | None = None,
    ) -> Tensor:
        """Adversarial pictures against ``model``; what is told of the gradient goes into ``extra``."""
        found, silent, zeros = [], [], []
        for index, (images, true) in enumerate(_batches(x, labels, model)):
            if strike.descent is None:
                result = attack(
                    strike.name, model, images, true, epsilon=epsilon, steps=strike.steps, seed=seed + index
                )
            else:
                generator = torch.Generator(x.device).manual_seed(seed + index)
                with self._random(seed + index):
                    result, nothing, share = descend(
                        model, images, true, epsilon, strike.descent, generator, stop_early
                    )
                silent.append(nothing)
                zeros.append(share)
            found.append(result)
        if silent and extra is not None:
            extra["no_gradient"] = torch.cat(silent).float().mean().item()
            extra["zero_gradient"] = torch.cat(zeros).mean().item()
        return torch.cat(found)

    def _shown(
        self,
        systems: list[System],
        threat_model: str,
        strike: Strike,
        epsilon: float,
        scope: Scope,
        pictures: Tensor,
        seed: int,
    ) -> list[Record]:
        """How each system fares on the same pictures, and what they did to the codes.

        Costly ones are shown some of them only, where all pictures were attacked.
        """
        attacked, chosen = pictures, scope
        records = []
        for system in systems:
            if system.costly and chosen == "all":
                scope, pictures = "costly", attacked[self.scopes["costly"]]
            else:
                scope, pictures = chosen, attacked
            x, labels = self._of(scope)
            right = self.correct(system.module, pictures, labels, seed)
            extra: Record = {}
            if isinstance(system.defence, Codec) and not system.retrained:
                some = evenly_spaced(len(x), min(len(x), FLIP_IMAGES))
                flipped = system.defence.code(x[some]) != system.defence.code(pictures[some])
                extra["bits_flipped"] = flipped.float().mean().item()
            who = "white-box" if threat_model == "grey-box" and system.undefended else threat_model
            records.append(self._record(system, who, strike, epsilon, scope, right, extra))
        return records

    @staticmethod
    def _record(
        system: System,
        threat_model: str,
        strike: Strike,
        epsilon: float | None,
        scope: Scope,
        right: Tensor,
        extra: Record | None = None,
        cascade: bool = False,
    ) -> Record:
        descent = strike.descent
        return {
            "defence": system.name,
            "threat_model": threat_model,
            "attack": strike.name,
            "epsilon": epsilon,
            "steps": strike.steps,
            "gradient": strike.gradient or (system.defence.gradients[0] if descent else None),
            "loss": descent.loss if descent else None,
            "restarts": descent.restarts if descent else 1,
            "scope": scope,
            "cascade": cascade,
            "right": _bits(right),
            **(extra or {}),
        }


def _has_dial(system: System) -> bool:
    """Whether its code's planes are worth dropping one by one: a codec's of ours, whole, once."""
    defence = system.defence
    return isinstance(defence, Codec) and not (defence.planes or system.retrained or system.name == AUTHORS)


@contextlib.contextmanager
def _through(system: System, gradient: str | None) -> Iterator[None]:
    """Let a defence's gradient pass by one of its stand-ins, for a while."""
    before = system.defence.gradient
    system.defence.gradient = gradient or system.defence.gradients[0]
    try:
        yield
    finally:
        system.defence.gradient = before


def worst_case(records: list[Record], defence: str, epsilon: float, scopes: dict[Scope, Tensor]) -> Tensor:
    """Which pictures survive every attack on a system, each picture by its own worst one.

    Any attack counts that stays within this strength, a weaker one, too, whoever made it: an attacker who
    knows the defence can do all that one who does not can do. Random noise is no attack.

    Returns:
        Shape (N,), bool. Outside the adaptive attacker's pictures it says less, for fewer attacks were tried.
    """
    standing = torch.ones(len(scopes["all"]), dtype=torch.bool)
    for record in records:
        mine = record["defence"] == defence and "dial" not in record and record["attack"] != "noise"
        within = record["epsilon"] is not None and record["epsilon"] <= epsilon
        if mine and (record["attack"] == "clean" or within):
            chosen = scopes[record["scope"]]
            standing[chosen] &= vector(record["right"])
    return standing


def dial_positions(planes: int) -> list[int]:
    """The numbers of planes at which a dial is looked at, the whole code the last one."""
    count = planes if planes <= DIAL_POSITIONS else 8
    return [round(planes * (i + 1) / count) for i in range(count)]


def _batches(x: Tensor, labels: Tensor, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures with their labels, as many at a time as memory allows ``model``."""
    heavy = any(isinstance(m, ComDefend) and m.config.downscale == 1 for m in model.modules())
    pixels = BATCH_PIXELS * (1 if heavy else LIGHT)
    size = min(BATCH_PICTURES, max(1, pixels // x[0, 0].numel())) if len(x) else 1
    return zip(x.split(size), labels.split(size), strict=True)


def _bits(right: Tensor) -> str:
    return "".join("1" if r else "0" for r in right.tolist())


def vector(bits: str) -> Tensor:
    """Which pictures a record says are right, shape (count,), bool."""
    return torch.tensor([c == "1" for c in bits], dtype=torch.bool)


def spread(record: Record, scopes: dict[Scope, Tensor]) -> Tensor:
    """Which of all pictures a record says are right, shape (N,), bool; those it lacks are not."""
    whole = torch.zeros(len(scopes["all"]), dtype=torch.bool)
    whole[scopes[record["scope"]]] = vector(record["right"])
    return whole


def _reach(when: str, change: Tensor, clean: Tensor, right: Tensor) -> dict[str, float | None]:
    """Of the pictures that were right: the share that fell, and how far these had to move.

    The medians are of L2 and L-infinity norms, the latter in 1/255; None where nothing fell.
    """
    fell = clean & ~right
    moved = change[fell.to(change.device)]
    l2 = moved.square().sum((1, 2, 3)).sqrt()
    linf = 255 * moved.abs().amax((1, 2, 3))
    return {
        f"success_{when}": int(fell.sum()) / max(1, int(clean.sum())),
        f"median_l2_{when}": l2.median().item() if len(moved) else None,
        f"median_linf_255_{when}": linf.median().item() if len(moved) else None,
    }
