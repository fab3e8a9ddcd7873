"""Code that the page and the documents show: it runs as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import snippets
from app.scenario import Scenario
from app.snippets import HOME
from tests.conftest import ROOT

SMALL = Scenario(
    classifier="cifar10", codec="comdefend-cifar10-purify", attack="PGD", epsilon=8, steps=3, seed=2
)
LARGE = Scenario(classifier="imagenet", codec="comdefend-photo", attack="FGSM", steps=None, planes=32)
AIMED = Scenario(attack="MI-FGSM", target="frog", threat_model="adaptive", epsilon=4.5, planes=6, steps=2)
SHOWN = Scenario(attack="PGD")
"""What the README shows."""


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the content of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(*command: str) -> str:
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=here, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def result(stream: str) -> dict:
    """What ``/run`` answered, from the stream of its events."""
    (complete,) = re.findall(r"^event: complete\ndata: (.*)$", stream, re.MULTILINE)
    return json.loads(complete)[-1]


def test_they_are_filled_in():
    assert 'load_classifier("imagenet")' in snippets.python(LARGE, "espresso")
    assert 'Codec(ComDefend.from_pretrained("comdefend-photo"), planes=32)' in snippets.python(
        LARGE, "espresso"
    )
    assert "Codec(" not in snippets.python(SMALL, "ship")
    call = snippets.client(AIMED, "ship", "https://lab.example/at")
    assert 'Client("https://lab.example/at")' in call
    assert 'handle_file("app/examples/ship.png")' in call
    for part in ('attack="MI-FGSM"', 'target="frog"', 'threat_model="adaptive"', "epsilon=4.5", "planes=6"):
        assert part in call
    assert "codec" not in call  # `auto` goes without saying
    shell = snippets.curl(AIMED, "ship", "https://lab.example/at")
    assert "lab=https://lab.example/at/gradio_api/call/v2/run" in shell
    assert '"target": "frog"' in shell
    for text in (call, shell, snippets.python(LARGE, "espresso")):
        assert max(map(len, text.splitlines())) < 150


@pytest.mark.parametrize("epsilon", [7.999999, 4 / 3, 8.0])
def test_a_number_is_written_as_it_is(epsilon):
    """A rounded strength would be another attack."""
    written = snippets.client(Scenario(epsilon=epsilon), "ship")
    assert float(re.search(r"epsilon=([\d.]+)", written)[1]) == epsilon


def test_python_has_three_lines_besides_what_it_imports():
    for scenario, example in ((SMALL, "ship"), (LARGE, "espresso")):
        lines = snippets.python(scenario, example).splitlines()
        assert len([line for line in lines if line and "import" not in line]) == 3


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize(("scenario", "example"), [(SMALL, "ship"), (LARGE, "espresso")])
def test_they_run_as_they_stand_and_agree(server, scenario, example):
    told = result(run("bash", "-c", snippets.curl(scenario, example, server)))
    for name in ("classifier", "codec", "attack", "epsilon", "steps", "planes", "seed"):
        assert told["scenario"][name] == getattr(scenario, name)
    printed = run(sys.executable, "-c", snippets.client(scenario, example, server))
    assert printed.strip().endswith(str(told["verdict"]))
    printed = run(sys.executable, "-c", snippets.python(scenario, example))
    assert printed.strip() == told["predictions"]["defended_original"]["label"]


def test_the_readme_shows_what_the_page_shows():
    shown = {text for _, text in blocks((ROOT / "README.md").read_text())}
    resolved = Scenario(**{**vars(SHOWN), "classifier": "imagenet", "codec": "comdefend-photo"})
    assert snippets.client(SHOWN, "espresso") in shown
    assert snippets.curl(SHOWN, "espresso") in shown
    assert snippets.python(resolved, "espresso") in shown


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.parametrize("name", ["README.md", "docs/hosting.md"])
def test_what_a_document_shows_of_a_served_page_runs_as_it_stands(server, name):
    found = [it for it in blocks(Path(ROOT / name).read_text()) if HOME in it[1] and it[0] != "json"]
    assert found
    for language, text in found:
        program = text.replace(HOME, server)
        if language == "python":
            assert "'attack_succeeded'" in run(sys.executable, "-c", program)
        else:
            assert result(run("bash", "-c", program))["verdict"]


@pytest.mark.slow
def test_what_the_readme_shows_of_the_models_runs_as_it_stands():
    found = [text for language, text in blocks((ROOT / "README.md").read_text())
             if language == "python" and "from model import" in text]  # fmt: skip
    assert found
    for text in found:
        run(sys.executable, "-c", text)
