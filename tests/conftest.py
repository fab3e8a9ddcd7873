"""Small models and small data for all tests."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from app.benchmark import served
from model.classifiers import ARCHITECTURES, Classifier
from model.comdefend import ComDefend
from model.config import ClassifierConfig, CodecConfig

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "app" / "examples" / "espresso.jpg"
TINY_CODEC = CodecConfig(com_widths=(8, 12), rec_widths=(8, 3))
CLASSES = ("circle", "cross", "square", "star")


def script() -> ModuleType:
    """``app.py`` as a module; ``import app`` is the package beside it."""
    spec = importlib.util.spec_from_file_location("app_script", ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@pytest.fixture
def example() -> Path:
    """One of the pictures that the page offers."""
    return ROOT / "app" / "examples" / "ship.png"


@pytest.fixture
def photograph() -> Path:
    """The first picture of the page, 600x400."""
    return PHOTOGRAPH
