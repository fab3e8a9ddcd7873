"""What several files say of the project: they must agree."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

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
    extras = [it for extra in PROJECT["optional-dependencies"].values() for it in extra]
    ranges = {it.name: it.specifier for it in map(Requirement, PROJECT["dependencies"] + extras)}
    assert pins.keys() == ranges.keys()
    assert len(ranges) == len(PROJECT["dependencies"] + extras)
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
