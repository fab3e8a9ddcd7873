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
    without_autoattack,
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
"""The reports whose lines it has, in their order, and the kind of pictures that they are of."""
ATTACKS = ("FGSM", "BIM")


def summary(reports: Mapping[str, Report]) -> str:
    """The small table of the README: a few defences of each of a few reports, at the main strength.

    Args:
        reports: those that were published, by name; those that are missing have no lines, nor has what an
            earlier one says already.
    """
    header = ["report", "defence", "clean"]
    header += [f"{attack} {MAIN:g}/255, grey-box" for attack in ATTACKS]
    header += [f"worst case {MAIN:g}/255, adaptive"]
    about: list[str] = []
    lines: list[str] = []
    seen: set[tuple[str, str]] = set()
    for name in (name for name in SUMMARISED if name in reports):
        report = reports[name]
        # The first of two reports has stronger attacks.
        news = [d for d in _defences(report, SUMMARISED[name]) if (report["classifier"], d) not in seen]
        seen.update((report["classifier"], defence) for defence in news)
        lines += [f"| {' | '.join(_row(name, report, defence))} |" for defence in news]
        if news:
            of = "" if name == report["classifier"] else f" (classifier `{report['classifier']}`)"
            about.append(f"`{name}`{of}: {_pictures(report)}")
    return "\n".join(
        [
            f"Accuracy in %; – was not measured. {'; '.join(about)}.",
            "",
            f"| {' | '.join(header)} |",
            "|---" * len(header) + "|",
            *lines,
            "",
            UNDEFENDED,
        ]
    )


def _pictures(report: Report) -> str:
    """How many pictures of what."""
    some = adaptive_images(report)
    adaptive = f", {some:,} of them for the adaptive attacker" if some else ""
    why = without_autoattack(report, MAIN)
    note = f"; {why} the worst case is an upper bound" if some and is_bound(report) else ""
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
