"""Small models and small data for all tests."""

import asyncio
import importlib.util
import itertools
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest
import torch
from PIL import Image

from app.benchmark import served
from app.lab import Lab
from app.scenario import Outcome, Scenario
from model import pretrained
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import ClassifierConfig, CodecConfig
from model.data import ImageSet
from model.defences import BitDepth, Codec, GaussianNoise, Nothing
from model.device import frozen
from model.evaluate.record import AttackRecord, CleanRecord, NoiseRecord, PlanesRecord
from model.evaluate.systems import System
from model.networks import ARCHITECTURES
from model.recipes import AdversarialTask, AnswersTask, PhotoTask, RobustTask, SmallTask
from model.zoo import CODECS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "app" / "examples" / "espresso.jpg"
TINY_CODEC = CodecConfig(com_widths=(8, 12), rec_widths=(8, 3))
TINY_LIGHT = CodecConfig.light(downscale=4, planes=8, width=16, com_blocks=1, rec_blocks=1)
ASKED = Scenario(classifier="cifar10", attack="BIM", steps=3)
CLASSES = ("circle", "cross", "square", "star")
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
MARGINS = (1.5, 4.5, 6.5, 9.5, 12.5, 20.5, 9.5, 20.5)
"""How far, in 1/255, an attacker must move all pixels of each coloured picture to change its colour."""


def script() -> ModuleType:
    """``app.py`` as a module; ``import app`` is the package beside it."""
    spec = importlib.util.spec_from_file_location("app_script", ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What asynchronous work comes to, in a thread of its own.

    Once a browser was started, Playwright's event loop runs in that of the tests.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def until(so: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for what another process does; it fails where that does not come."""
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def numbers_as_they_are() -> Iterator[None]:
    """A command line that a test calls flushes denormal numbers in all of this process."""
    yield
    torch.set_flush_denormal(False)


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds whenever somebody looks at it."""
    return itertools.count(step=seconds).__next__


def left_out(model: torch.nn.Module) -> list[str]:
    """The parameters that a loss has not reached: without a gradient, or with one that is zero everywhere."""
    return [name for name, it in model.named_parameters() if it.grad is None or not it.grad.any()]


@pytest.fixture
def lab(classifier: Classifier, codec: ComDefend) -> Lab:
    """One whose models are tiny."""
    lab = Lab("cpu")
    lab._classifiers["cifar10"] = classifier.requires_grad_(False)
    lab._codecs |= dict.fromkeys(CODECS, codec.requires_grad_(False))
    return lab


@pytest.fixture
def picture() -> Image.Image:
    """16x16 pixels of noise."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8))


@pytest.fixture
def outcome(lab: Lab, picture: Image.Image) -> Outcome:
    """A run of ``ASKED`` at 8/255."""
    return lab.run(picture, replace(ASKED, epsilon=8))


@pytest.fixture
def codec() -> ComDefend:
    """An untrained codec with two convolutions a side."""
    torch.manual_seed(0)
    return ComDefend(TINY_CODEC).eval()


def tiny_net(classes: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32, classes),
    )


@pytest.fixture
def classifier(monkeypatch: pytest.MonkeyPatch) -> Classifier:
    """An untrained classifier of four classes on 16x16 pictures."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    torch.manual_seed(1)
    config = ClassifierConfig("tiny", CLASSES, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Classifier(config).eval()


@pytest.fixture
def pictures() -> torch.Tensor:
    """Six pictures of 16x16 pixels, multiples of 1/255."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (6, 3, 16, 16), generator=generator).float() / 255


def colour_net(classes: int) -> torch.nn.Sequential:
    """The mean red, green and blue; the other classes are out of reach."""
    linear = torch.nn.Linear(3, classes)
    with torch.no_grad():
        linear.weight.copy_(5 * torch.eye(classes, 3))
        linear.bias.copy_(torch.tensor([0.0] * 3 + [-9.0] * (classes - 3)))
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), linear)


def thermometer() -> ComDefend:
    """A codec made by hand: four thresholds a colour, and the colour is how many of them are passed."""
    codec = ComDefend(CodecConfig(com_widths=(12,), rec_widths=(3,)))
    thresholds = torch.tensor([0.02, -0.07, 0.11, -0.02])
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.zero_()
        for plane in range(12):
            codec.com.conv0.weight[plane, plane % 3, 1, 1] = 300.0
            codec.com.conv0.bias[plane] = -300.0 * thresholds[plane // 3]
            codec.rec.conv0.weight[plane % 3, plane, 1, 1] = 0.4
        codec.rec.conv0.bias.fill_(-0.8)
    return codec.eval()


@pytest.fixture(scope="session")
def coloured() -> ImageSet:
    """Eight pictures of 16x16 pixels, each of its label's colour by its margin; the last label is wrong."""
    generator = torch.Generator().manual_seed(4)
    dither = torch.linspace(-40, 40, 256).round()
    images = torch.empty(len(MARGINS), 3, 16, 16)
    for index, margin in enumerate(MARGINS):
        for channel in range(3):
            level = 120 + 2 * margin if channel == index % 3 else 120
            images[index, channel] = level + dither[torch.randperm(256, generator=generator)].view(16, 16)
    labels = torch.arange(len(MARGINS)) % 3
    labels[-1] = (labels[-1] + 1) % 3
    return ImageSet(images.byte(), labels, CLASSES)


@pytest.fixture(scope="session")
def systems() -> list[System]:
    """Four defences before a classifier of colours, in the order of a report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "colours", colour_net)
        config = ClassifierConfig("colours", CLASSES, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        classifier = frozen(Classifier(config))
    defences = {
        "none": Nothing(),
        "comdefend-tiny": Codec(thermometer(), about="ComDefend, by hand"),
        "bits-5": BitDepth(5),
        "noise-8": GaussianNoise(8 / 255),
    }
    return [System(name, frozen(it), classifier, "colours", False, "") for name, it in defences.items()]


def clean(system: str, right: str, **changes: Any) -> CleanRecord:
    """What the evaluation keeps of a system on pictures as they are, made up: all of them."""
    return CleanRecord(**{"system": system, "scope": "all", "right": right, "seconds": 0.1, **changes})


def noise(system: str, right: str, **changes: Any) -> NoiseRecord:
    """The same of random noise, by default of 8/255."""
    values = {"system": system, "epsilon": 8.0, "scope": "all", "right": right, "seconds": 0.1}
    return NoiseRecord(**{**values, **changes})


def record(system: str, attack: str, right: str, **changes: Any) -> AttackRecord:
    """The same of one attack: by default grey-box, 8/255, ten steps, all pictures."""
    values = {
        "system": system,
        "threat_model": "grey-box",
        "attack": attack,
        "epsilon": 8.0,
        "steps": 10,
        "scope": "all",
        "right": right,
        "seconds": 0.1,
    }
    return AttackRecord(**{**values, **changes})


def kept(system: str, attack: str, right: str, planes: int) -> PlanesRecord:
    """The same of a codec of whose code some planes are kept."""
    attacked = attack != "clean"
    return PlanesRecord(
        system=system,
        planes=planes,
        attack=attack,
        epsilon=8.0 if attacked else None,
        threat_model="grey-box" if attacked else "no attacker",
        right=right,
    )


@pytest.fixture
def tiny_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, codec: ComDefend) -> Path:
    """What recipes start from, in a folder: tiny codecs, and tiny classifiers of the dataset's classes."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_net)
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    monkeypatch.setattr(PhotoTask, "network", TINY_LIGHT)
    monkeypatch.setattr(SmallTask, "network", TINY_LIGHT)
    monkeypatch.setattr(PhotoTask, "settings", PhotoTask.chosen(guides="cifar10,cifar10-preact"))
    answers = AnswersTask.chosen(start="cifar10", codec="comdefend-cifar10-purify")
    monkeypatch.setattr(AnswersTask, "settings", answers)
    for name in ("comdefend-cifar10", "comdefend-cifar10-purify"):
        codec.save_pretrained(tmp_path / name)
    torch.manual_seed(1)
    ComDefend(TINY_LIGHT).save_pretrained(tmp_path / "comdefend-cifar10-light")
    for kind in (AdversarialTask, RobustTask):
        monkeypatch.setattr(kind, "settings", kind.chosen(arch="tiny"))
    config = ClassifierConfig("tiny", ("blue", "red"), 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    for name in ("cifar10", "cifar10-preact", "cifar10-adversarial"):
        Classifier(config).save_pretrained(tmp_path / name)
    return tmp_path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures in two classes, told apart by their colour."""
    root = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for name, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                ramp = np.linspace(-50, 50, 32)[:, None, None] * rng.uniform(-1, 1)
                pixels = np.array(colour) + ramp + rng.normal(0, 8, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a started ``python app.py`` with the repository's weights."""
    with served("cpu") as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium, where there is one; in CI there has to be."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing")
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def example() -> Path:
    """One of the pictures that the page offers."""
    return ROOT / "app" / "examples" / "ship.png"


@pytest.fixture
def photograph() -> Path:
    """The first picture of the page, 600x400."""
    return PHOTOGRAPH
