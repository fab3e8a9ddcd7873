"""What the paper reports of itself and of others, to stand beside what is measured here."""

from typing import NamedTuple

from model import zoo
from model.evaluate.cells import Report, codecs, grey_box_of, leaves
from model.evaluate.presets import MAIN, SEED
from model.evaluate.systems import has_own_classifier

STRENGTHS = (8.0, 16.0)
"""Of the published figures, in 1/255."""
NOTABLE = 0.1
"""By how much a figure must fall short of the paper's to be a contradiction."""


class Published(NamedTuple):
    """A line of the paper's table 8: ImageNet, before Inception-ResNet-v2, grey-box; accuracy in %."""

    defence: str
    clean: int
    attacks: dict[str, tuple[int, int]]
    """By our names for them (BIM is its I-FGSM), at each of ``STRENGTHS``."""


COMDEFEND = Published(
    "ComDefend", 77, {"FGSM": (62, 61), "BIM": (51, 42), "DeepFool": (60, 60), "C&W": (61, 63)}
)
HGD = Published(
    "HGD, the winner of the NIPS 2017 challenge",
    54,
    {"FGSM": (47, 48), "BIM": (42, 42), "DeepFool": (48, 48), "C&W": (48, 48)},
)


def beside(report: Report) -> str:
    """The published figures, and what of a report contradicts them: for photographs, and for the paper's
    comparison; empty for all else."""
    entry = zoo.CLASSIFIERS.get(report["classifier"])
    compares = report["preset"] == SEED
    if not compares and (entry is None or entry.pictures != "photographs"):
        return ""
    attacks = list(COMDEFEND.attacks)
    header = ["published, grey-box", "clean", *attacks]
    about = "For comparison, **published** by the ComDefend paper (table 8), of other pictures and another "
    about += "classifier (ImageNet, Inception-ResNet-v2); accuracy in % at strengths of "
    about += f"{' · '.join(f'{epsilon:g}' for epsilon in STRENGTHS)} (in 1/255), BIM being its I-FGSM."
    lines = [
        about,
        "",
        f"| {' | '.join(header)} |",
        "|---" * len(header) + "|",
        *(
            f"| {line.defence} | {line.clean} | "
            f"{' | '.join(' · '.join(map(str, line.attacks[name])) for name in attacks)} |"
            for line in (COMDEFEND, HGD)
        ),
    ]
    if said := contradictions(report):
        lines += ["", said]
    return "\n".join(lines)


def contradictions(report: Report) -> str:
    """What of the paper's claims is not seen in a report, in sentences; empty if there is nothing."""
    return " ".join(filter(None, [_less_than_published(report), _below_hgd(report), _adaptive(report)]))


def _less_than_published(report: Report) -> str:
    """The paper's codec, under its own iterated attack."""
    claimed = COMDEFEND.attacks["BIM"][STRENGTHS.index(MAIN)]
    names = {
        zoo.faithful_codec(report["classifier"]): "with the paper's loss",
        "authors": "with the authors' released weights",
    }
    left = {
        about: cell["accuracy"]
        for name, about in names.items()
        if (cell := grey_box_of(report, name, "BIM", MAIN)) and cell["accuracy"] + NOTABLE < claimed / 100
    }
    if not left:
        return ""
    here = " and ".join(f"{100 * accuracy:.1f} % {about}" for about, accuracy in left.items())
    return f"The paper reports {claimed} % behind ComDefend under I-FGSM at {MAIN:g}/255; here it is {here}."


def _below_hgd(report: Report) -> str:
    """The paper has ComDefend above HGD in every column."""
    (hgd,) = (entry for entry in zoo.EVERY_DENOISER if entry.name == "hgd")
    above = []
    ours = _codecs(report)
    for attack in COMDEFEND.attacks:
        other = grey_box_of(report, hgd.name, attack, MAIN)
        mine = [cell["accuracy"] for name in ours if (cell := grey_box_of(report, name, attack, MAIN))]
        if other and mine and other["accuracy"] > max(mine):
            above.append(attack)
    if not above:
        return ""
    return (
        f"The paper has ComDefend above HGD in every column; here HGD leaves more under {', '.join(above)} "
        f"at {MAIN:g}/255: it was trained on adversarial pictures of `{hgd.against}`."
    )


def _codecs(report: Report) -> list[str]:
    """Those before the classifier of all others: a classifier of its own is no codec's merit."""
    return [name for name in codecs(report) if not has_own_classifier(name)]


def _adaptive(report: Report) -> str:
    """The column that the paper lacks."""
    ours = _codecs(report)
    worst = [w for w in report["worst"] if w["defence"] in ours and w["epsilon"] == MAIN]
    if not worst:
        return ""
    best = max(worst, key=lambda w: w["accuracy"])
    return (
        f"It has no figure for an attacker who knows of the defence; here such a one {leaves(report)} "
        f"{100 * best['accuracy']:.1f} % at {MAIN:g}/255 behind the best codec."
    )
