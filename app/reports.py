"""What the page takes from a published report, and what it leaves out: pure functions of ``report.json``."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from model import zoo
from model.evaluate.cells import Cell, Report, codecs, find_cell, grey_box_of, is_bound, strengths
from model.evaluate.presets import MAIN
from model.evaluate.systems import PAIRS, has_own_classifier

HIDDEN = ("command", "strikes")
"""Entries for those who have the files: they name folders of whoever measured."""
ATTACK = "BIM"
"""Whose lines are drawn, of all attacks on the classifier alone."""
COLOURS = ("#dc2626", "#2e7bf0", "#16913f", "#8a8a8a", "#a855f7", "#c56a00", "#0891b2")
"""Of the chart's lines: readable on the page's light and on its dark ground."""


class Line(NamedTuple):
    """One line of the chart: a defence under an attacker."""

    defence: str
    attacker: str
    """white-box (of no defence), grey-box or adaptive."""
    cells: dict[float, Cell]
    """By strength in 1/255, 0 being no attack; at least two."""


class Remains(NamedTuple):
    """What the codec leaves that a classifier's pictures get by default."""

    classifier: str
    codec: str
    about: str
    """What the codec is."""
    images: int
    clean: float
    grey_box: Cell | None
    adaptive: Cell | None
    """The worst case of all attacks."""


def for_visitors(report: Report) -> Report:
    """The report without the entries in ``HIDDEN``; defences from folders are called by their last part."""
    names = list(report["defences"])
    last = [name.rpartition("/")[2] for name in names]
    short = {
        name: tail if last.count(tail) == 1 else name.replace("/", "-")
        for name, tail in zip(names, last, strict=True)
        if "/" in name
    }
    shown: Report = _renamed({k: v for k, v in report.items() if k not in HIDDEN}, short)
    return shown


def short_names(report: Report) -> dict[str, str]:
    """What :func:`for_visitors` calls the defences of a report, where that is another name."""
    shown = for_visitors(report)["defences"]
    return {name: new for name, new in zip(report["defences"], shown, strict=True) if name != new}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value with these names replaced, wherever they stand."""
    if isinstance(value, dict):
        return {_renamed(key, names): _renamed(entry, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_renamed(entry, names) for entry in value]
    if isinstance(value, str):
        for name in sorted(names, key=len, reverse=True):  # one may be the beginning of another
            value = value.replace(name, names[name])
    return value


def of_classifiers(reports: Mapping[str, Report]) -> dict[str, Report]:
    """The report of each classifier, by the classifier's name: that of the same name, else its first one."""
    found: dict[str, Report] = {}
    for name, report in reports.items():
        classifier = report["classifier"]
        if name == classifier or classifier not in found:
            found[classifier] = report
    return found


def lines(report: Report) -> list[Line]:
    """The lines of the chart, the most telling systems: at most as many as there are ``COLOURS``.

    No defence; under an attack on the classifier alone, the paper's codec, the codec that stands best and the
    best of the other defences; in the worst case of an attacker who knows it all, that codec and whatever of
    ours stands best, with its twin without a codec, if it has one.
    """
    every = strengths(report)
    at = MAIN if MAIN in every else max(every, default=MAIN)
    ours = codecs(report)
    alone = [name for name in report["defences"] if name != "none" and not has_own_classifier(name)]
    grey = {name: cell for name in alone if (cell := grey_box_of(report, name, ATTACK, at))}
    worst = {w["defence"]: w for w in report.get("worst", []) if w["epsilon"] == at}
    best = _best(grey, [name for name in alone if name in ours])
    standing = _best(worst, [*filter(None, [best]), *ours])  # of equal ones, the one that is shown
    wanted = [
        ("none", "white-box"),
        (zoo.faithful_codec(report["classifier"]), "grey-box"),
        (best, "grey-box"),
        (_best(grey, [name for name in alone if name not in ours]), "grey-box"),
        (best, "adaptive"),
        (standing, "adaptive"),
        (PAIRS.get(standing or ""), "adaptive"),
    ]
    found = [
        Line(name, attacker, _line(report, name, attacker, every))
        for name, attacker in dict.fromkeys(wanted)
        if name is not None and name in report["defences"]
    ]
    return [line for line in found if len(line.cells) > 1]


def _best(cells: Mapping[str, Cell], names: Iterable[str]) -> str | None:
    return max((n for n in names if n in cells), key=lambda name: cells[name]["accuracy"], default=None)


def _line(report: Report, name: str, attacker: str, every: list[float]) -> dict[float, Cell]:
    clean = find_cell(report["cells"], defence=name, attack="clean")
    cells = {} if clean is None else {0.0: clean}
    for epsilon in every:
        if attacker == "adaptive":
            cell = find_cell(report.get("worst", []), defence=name, epsilon=epsilon)
        else:
            cell = grey_box_of(report, name, ATTACK, epsilon)
        if cell is not None:
            cells[epsilon] = cell
    return cells


def remains(reports: Mapping[str, Report]) -> Remains | None:
    """What the default codec leaves of small pictures, before their default classifier, if measured."""
    classifier, codec = zoo.default_classifier("small"), zoo.default_codec("small")
    report = reports.get(classifier)
    clean = find_cell(report["cells"], defence=codec, attack="clean") if report else None
    if report is None or clean is None:
        return None
    return Remains(
        classifier=classifier,
        codec=codec,
        about=report["defences"][codec],
        images=clean["images"],
        clean=clean["accuracy"],
        grey_box=grey_box_of(report, codec, ATTACK, MAIN),
        adaptive=find_cell(report.get("worst", []), defence=codec, epsilon=MAIN),
    )


def worst_of(reports: Iterable[Report], pair: zoo.Pair) -> Cell | None:
    """A pair's worst case at the main strength, by the largest report that has AutoAttack; None: none has."""
    return bound_of((report for report in reports if not is_bound(report)), pair.system)


def bound_of(reports: Iterable[Report], system: str) -> Cell | None:
    """A system's worst case at the main strength, by the largest report that has one; None: none has.

    Where AutoAttack is not through, it is an upper bound.
    """
    found = (find_cell(report.get("worst", []), defence=system, epsilon=MAIN) for report in reports)
    return max(filter(None, found), key=lambda cell: cell["images"], default=None)
