"""The archive of a run: what is in it, and that its program repeats the run."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app import bundle as bundle_module
from app.bundle import bundle
from app.images import encode, open_picture, to_picture
from app.lab import Lab
from app.scenario import Outcome, Scenario
from app.snippets import program
from model.attacks import ATTACKS
from model.ops import unpack
from tests.conftest import PHOTOGRAPH, ROOT

FILES = [
    "original.png", "perturbation.png", "adversarial.png", "code.png", "reconstruction.png", "code.npz",
    "result.json", "reproduce.py",
]  # fmt: skip
REPEATED = """
import runpy, numpy
found = runpy.run_path("reproduce.py")
numpy.savez("repeated.npz", found=found["found"].numpy(), code=found["code"].numpy())
"""


@pytest.fixture
def outcome(classifier, codec) -> Outcome:
    lab = Lab("cpu")
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10"] = classifier, codec
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return lab.run(picture, Scenario(classifier="cifar10", epsilon=16, planes=6))


def test_it_holds_the_run(outcome):
    archive = zipfile.ZipFile(io.BytesIO(bundle(outcome)))
    assert archive.testzip() is None
    assert archive.namelist() == FILES
    held = {name: archive.read(name) for name in FILES}
    for name, x in (("original", outcome.original), ("adversarial", outcome.adversarial),
                    ("reconstruction", outcome.defended_adversarial)):  # fmt: skip
        assert held[f"{name}.png"] == encode(to_picture(x), "PNG")
    assert torch.equal(unpack(held["code.npz"]).code, outcome.code_adversarial[0])
    assert len(outcome.code_adversarial[0]) == 6
    assert json.loads(held["result.json"]) == json.loads(json.dumps(outcome.summary()))
    assert held["reproduce.py"].decode() == program(outcome.scenario)


def test_the_same_run_is_the_same_archive(outcome, monkeypatch):
    first = bundle(outcome)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert bundle(outcome) == first
    assert bundle_module.BEGINNING[0] == zipfile.ZipFile(io.BytesIO(first)).infolist()[0].date_time[0]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_program_has_fifteen_lines_for_every_attack(name):
    spec = ATTACKS[name]
    scenario = Scenario(
        classifier="cifar10", codec="comdefend-cifar10", attack=name, threat_model="adaptive", planes=6,
        epsilon=4 if spec.has_epsilon else None, steps=spec.default_steps,
        target="frog" if spec.targetable else None,
    )  # fmt: skip
    lines = program(scenario).splitlines()
    compile("\n".join(lines), name, "exec")
    assert lines[0].startswith('"""')
    assert len([line for line in lines[1:] if line]) == 15
    assert max(map(len, lines)) < 150


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """As it is served: numbers below a float's full precision are zero."""
    torch.set_flush_denormal(True)
    yield Lab("cpu")
    torch.set_flush_denormal(False)


def repeat(folder: Path) -> tuple[str, dict[str, np.ndarray]]:
    done = subprocess.run(
        [sys.executable, "-c", REPEATED], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, dict(np.load(folder / "repeated.npz"))


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize(
    ("picture", "asked"),
    [
        ("ship.png", {"attack": "PGD", "seed": 5}),
        ("ship.png", {"threat_model": "adaptive", "planes": 6, "epsilon": 8, "steps": 5}),
        ("dog.png", {"attack": "DeepFool", "epsilon": None, "steps": 5}),
        ("dog.png", {"attack": "MI-FGSM", "target": "frog", "threat_model": "adaptive",
                     "codec": "comdefend-cifar10"}),
        (PHOTOGRAPH.name, {"steps": 3}),
        (PHOTOGRAPH.name, {"threat_model": "adaptive", "attack": "FGSM", "steps": None, "planes": 32}),
    ],
)  # fmt: skip
def test_its_program_repeats_the_run(lab, tmp_path, picture, asked):
    outcome = lab.run(open_picture(ROOT / "app" / "examples" / picture), Scenario(**asked))
    zipfile.ZipFile(io.BytesIO(bundle(outcome))).extractall(tmp_path)
    printed, repeated = repeat(tmp_path)
    held = np.asarray(Image.open(tmp_path / "adversarial.png")).transpose(2, 0, 1)
    assert np.array_equal((repeated["found"][0] * 255).round().astype(np.uint8), held)
    assert (tmp_path / "adversarial.png").read_bytes() == encode(
        to_picture(torch.from_numpy(repeated["found"])), "PNG"
    )
    code = unpack((tmp_path / "code.npz").read_bytes()).code.numpy()
    assert len(code) == asked.get("planes", len(code))
    assert np.array_equal(repeated["code"], code)
    says = json.loads((tmp_path / "result.json").read_text())["predictions"]
    assert printed.splitlines() == [
        f"Classifier: {says['adversarial']['label']}",
        f"Through ComDefend: {says['defended_adversarial']['label']}",
        "Same picture: True",
        "Same code: True",
    ]


@pytest.mark.slow
@pytest.mark.processes
def test_its_program_says_when_something_else_came_out(lab, tmp_path):
    outcome = lab.run(
        open_picture(ROOT / "app" / "examples" / "ship.png"), Scenario(attack="FGSM", steps=None)
    )
    zipfile.ZipFile(io.BytesIO(bundle(outcome))).extractall(tmp_path)
    script = tmp_path / "reproduce.py"
    script.write_text(script.read_text().replace("epsilon=4", "epsilon=12"))
    printed, _ = repeat(tmp_path)
    assert printed.splitlines()[2:] == ["Same picture: False", "Same code: False"]
