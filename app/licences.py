"""``python app.py --licences``: under which terms all that the lab is made of may be used."""

import importlib.metadata
import re
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

from app.places import APP
from model.files import REPOSITORY

PROJECT = "comdefend-lab"
SOURCES = APP / "examples" / "SOURCES.md"
UNSTATED = "not stated by its package"
LONGEST = 80
"""Some packages have their licence's whole text where its name belongs."""


def wanted(repository: Path = REPOSITORY) -> list[str]:
    """The packages that the lab asks for itself: of a clone, its pins; of an installation, its metadata."""
    pins = repository / "requirements.txt"
    if pins.is_file():
        lines = pins.read_text(encoding="utf-8").splitlines()
        return [Requirement(line).name for line in lines if line and not line.startswith(("#", "-"))]
    needed = map(Requirement, importlib.metadata.requires(PROJECT) or [])
    return [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]


def closure(names: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """The installed packages of these names, and all that they need in turn, by name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(name, "") for name in names]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system, say
        found[_plain(name)] = package
        for need in map(Requirement, package.requires or []):
            if need.marker is not None and not need.marker.evaluate({"extra": extra}):
                continue
            for key in [(need.name, each) for each in ("", *need.extras)]:
                if key not in seen:
                    seen.add(key)
                    waiting.append(key)
    return [package for _, package in sorted(found.items())]


def licence(package: importlib.metadata.Distribution) -> str:
    """What a package says of its licence, in a few words."""
    stated = package.metadata
    if expression := " ".join(stated.get_all("License-Expression") or []):
        return " ".join(expression.split())
    text = " ".join(" ".join(stated.get_all("License") or []).split())
    if text and text != "UNKNOWN" and len(text) <= LONGEST:
        return text
    classifiers = stated.get_all("Classifier") or []
    kinds = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License")]
    return ", ".join(kinds) or _title(package)


def _title(package: importlib.metadata.Distribution) -> str:
    """The first line of a package's licence file: most begin with their name."""
    for file in package.files or []:
        if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            lines = Path(str(file.locate())).read_text(encoding="utf-8", errors="replace").split("\n")
            title = next((line.strip() for line in lines if line.strip()), "")
            return f"{title[:LONGEST]} (its file {file.name})" if title else UNSTATED
    return UNSTATED


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print all of them; the exit status."""
    print("# Packages\n\n| package | version | licence |\n|---|---|---|")
    for package in closure(wanted()):
        print(f"| {package.metadata['Name']} | {package.version} | {licence(package)} |")
    print(f"\n# Pictures\n\n{SOURCES.read_text(encoding='utf-8').strip()}")
    return 0
