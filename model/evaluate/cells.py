"""How a report is read: its cells by what they are of, and their figures as text."""

from collections.abc import Collection, Iterable
from typing import Any

from model.attacks.catalogue import AUTO_ATTACK, AUTO_ATTACK_RAND, parts_of
from model.evaluate.presets import MAIN
from model.evaluate.record import CLASSIFIER_ALONE

Report = dict[str, Any]
"""What ``report.json`` holds."""
Cell = dict[str, Any]
"""A figure of it: an accuracy with its interval, and of what it is."""
LAST_PARTS = {AUTO_ATTACK, AUTO_ATTACK_RAND, parts_of(AUTO_ATTACK)[-1], parts_of(AUTO_ATTACK_RAND)[-1]}
"""What AutoAttack ends with; older reports have all of it in one."""


def percent(cell: Cell | None) -> str:
    """Accuracy with its interval, in %."""
    if cell is None:
        return ""
    low, high = (100 * v for v in cell["interval"])
    return f"{100 * cell['accuracy']:.1f} ({low:.1f} to {high:.1f})"


def accuracies(cells: Iterable[Cell | None], count: int) -> str:
    """Accuracies in %, and of how many pictures where it is another number than ``count``."""
    cells = list(cells)
    counts = {c["images"] for c in cells if c is not None} - {count}
    text = " · ".join("–" if c is None else f"{100 * c['accuracy']:.1f}" for c in cells)
    return text + (f" (of {', '.join(map(str, sorted(counts)))})" if counts else "")


def difference(cell: Cell) -> str:
    """A paired difference with its interval, in points."""
    low, high = (100 * v for v in cell["difference_interval"])
    return f"{100 * cell['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def find_cell(cells: list[Cell], **wanted: object) -> Cell | None:
    """The cell with these values; of several the one on the most pictures, since some attacks come twice."""
    found = (c for c in cells if all(c.get(k) == v for k, v in wanted.items()))
    return max(found, key=lambda cell: cell["images"], default=None)


def grey_box_cell(cells: list[Cell], attack: str, epsilon: float) -> Cell | None:
    """The cell of pictures that were made against the classifier alone."""
    alone = [c for c in cells if c["threat_model"] in CLASSIFIER_ALONE]
    return find_cell(alone, attack=attack, epsilon=epsilon)


def grey_box_of(report: Report, defence: str, attack: str, epsilon: float) -> Cell | None:
    """A defence's cell of pictures that were made against the classifier alone."""
    cells = [c for c in report["cells"] if c["defence"] == defence and not is_cascade(c)]
    return grey_box_cell(cells, attack, epsilon)


def is_cascade(cell: Cell) -> bool:
    """Whether it says what a cascade left, and nothing of its attack alone."""
    return bool(cell.get("cascade"))


def is_unbounded(cell: Cell) -> bool:
    """Whether it is of an attack without a strength, and says how far that had to go."""
    return "success_rounded" in cell


def strengths(report: Report) -> list[float]:
    """All strengths in 1/255, rising."""
    return sorted({c["epsilon"] for c in report["cells"] if c["threat_model"] in CLASSIFIER_ALONE})


def adaptive_images(report: Report) -> int:
    """How many pictures the worst case is of, but for systems that take too long; 0: it was not measured."""
    return report["worst"][0]["images"] if report.get("worst") else 0


def is_bound(report: Report) -> bool:
    """Whether the worst case at the main strength is an upper bound: AutoAttack was not among its attacks."""
    return not has_autoattack(report, MAIN)


def has_autoattack(report: Report, epsilon: float) -> bool:
    """Whether every system went through all of AutoAttack at a strength."""
    return _met_by_all(report, LAST_PARTS, epsilon)


def parts_of_autoattack(report: Report, epsilon: float) -> list[str]:
    """Those parts of AutoAttack that every system went through at a strength."""
    parts = [*parts_of(AUTO_ATTACK), *parts_of(AUTO_ATTACK_RAND)]
    return [part for part in parts if _met_by_all(report, {part}, epsilon)]


def without_autoattack(report: Report, *epsilons: float) -> str:
    """Why the worst case at strengths where AutoAttack is not whole is an upper bound."""
    begun = any(parts_of_autoattack(report, epsilon) for epsilon in epsilons)
    return f"without {'all of ' if begun else ''}AutoAttack"


def _met_by_all(report: Report, attacks: Collection[str], epsilon: float) -> bool:
    met = {c["defence"] for c in report["cells"] if c["attack"] in attacks and c["epsilon"] == epsilon}
    return met == set(report["defences"])


def leaves(report: Report) -> str:
    """The verb for what an attacker who knows of a defence leaves of it."""
    return "leaves at most" if is_bound(report) else "leaves"


def codecs(report: Report) -> list[str]:
    """Names of the defences that are a ComDefend codec, alone or with a classifier of its own (``@``)."""
    names: list[str] = report["codecs"]
    return names


def failed_checks(report: Report) -> list[str]:
    """One line for each check that failed."""
    return [
        f"{name}: {check['name']}: {check['detail']}"
        for name, found in report.get("checks", {}).items()
        for check in found
        if check["passed"] is False
    ]
