"""The few figures of all published reports by which a defence is judged first."""

from collections.abc import Mapping

from model import zoo
from model.entries import Pictures
from model.evaluate.cells import (
    Report,
    accuracies,
    adaptive_images,
    find_cell,
    grey_box_of,
    is_bound,
)
from model.evaluate.markdown import UNDEFENDED
from model.evaluate.presets import MAIN
from model.evaluate.systems import has_own_classifier

SUMMARISED: dict[str, Pictures] = {
    "cifar10": "small",
    "cifar10-robust": "small",
    "seed-cifar10": "small",
    "seed-cifar10-resnet50": "small",
    "resnet20": "small",
    "seed-fashion-mnist": "garments",
    "imagenet": "photographs",
}
"""The reports that have lines in it, in their order, and the kind of pictures that they are of."""
ATTACKS = ("FGSM", "BIM")


def summary(reports: Mapping[str, Report]) -> str:
    """The small table of the README: a few defences of each of a few reports, at the main strength.

    Args:
        reports: those that were published, by name; those that are missing have no lines.
    """
    header = ["classifier", "defence", "clean"]
    header += [f"{attack} {MAIN:g}/255, grey-box" for attack in ATTACKS]
    header += [f"worst case {MAIN:g}/255, adaptive"]
    chosen = {name: reports[name] for name in SUMMARISED if name in reports}
    about = "; ".join(f"`{name}`: {_pictures(report)}" for name, report in chosen.items())
    lines = [
        f"Accuracy in %; – was not measured. {about}.",
        "",
        f"| {' | '.join(header)} |",
        "|---" * len(header) + "|",
    ]
    seen = set()
    for name, report in chosen.items():
        for defence in _defences(report, SUMMARISED[name]):
            line = report["classifier"], defence
            if line not in seen:  # the first of two reports has stronger attacks
                lines.append(f"| {' | '.join(_row(name, report, defence))} |")
            seen.add(line)
    return "\n".join([*lines, "", UNDEFENDED])


def _pictures(report: Report) -> str:
    """How many pictures of what."""
    some = adaptive_images(report)
    adaptive = f", {some:,} of them for the adaptive attacker" if some else ""
    note = "; without AutoAttack the worst case is an upper bound" if some and is_bound(report) else ""
    return f"{report['images']:,} test pictures{adaptive} ({report['data']}{note})"


def _defences(report: Report, pictures: Pictures) -> list[str]:
    """No defence, the lab's codec for such pictures, the one of the paper's loss, and the best JPEG; then
    what else was trained: denoisers, and classifiers beside the attacked one."""
    wanted = dict.fromkeys(["none", zoo.default_codec(pictures), zoo.faithful_codec(report["classifier"])])
    bim = {
        name: cell["accuracy"]
        for name in report["defences"]
        if name.startswith("jpeg-") and (cell := grey_box_of(report, name, "BIM", MAIN))
    }
    best = [max(bim, key=bim.__getitem__)] if bim else []
    rivals = [name for name in report["defences"] if name in zoo.DENOISERS or has_own_classifier(name)]
    return [*(name for name in wanted if name in report["defences"]), *best, *rivals]


def _row(name: str, report: Report, defence: str) -> list[str]:
    cells = [c for c in report["cells"] if c["defence"] == defence]
    everyone = report["images"]
    worst = [w for w in report["worst"] if w["defence"] == defence]
    return [
        f"`{name}`",
        f"{report['defences'][defence]} (`{defence}`)",
        accuracies([find_cell(cells, attack="clean")], everyone),
        *(accuracies([grey_box_of(report, defence, attack, MAIN)], everyone) for attack in ATTACKS),
        accuracies([find_cell(worst, epsilon=MAIN)], adaptive_images(report)),
    ]
