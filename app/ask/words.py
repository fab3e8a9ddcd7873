"""What was found, as sentences and names."""

from app.ask.breaking import FURTHEST, Breaking, Question
from app.ask.defences import Row, Survey
from app.ask.fifty import Curves
from app.ask.planes import Carried, Without
from app.page.ask_text import HELD_WORDS, LINES, QUESTIONS
from app.words import decibels


def question(asked: Question) -> str:
    """One of the four questions of "until it breaks"."""
    return QUESTIONS[asked.threat_model, asked.system]


def strength(found: Breaking, asked: Question) -> str:
    """One of the four numbers, or as much as is known of it."""
    bracket = found.brackets[asked]
    if bracket.broke == 0:
        return "0: no attack is needed"
    if bracket.found:
        return f"not up to {FURTHEST}/255" if bracket.broke is None else f"{bracket.broke}/255"
    if bracket.broke is None:
        return "not known yet"
    return f"above {bracket.held}/255, at most {bracket.broke}/255"


def breaking(found: Breaking) -> str:
    """What the four numbers are of."""
    scenario = found.scenario
    steps = f" in {scenario.steps} steps" if scenario.steps is not None else ""
    kept = f", {scenario.planes} planes kept" if scenario.planes is not None else ""
    aim = f", aimed at “{scenario.target}”" if scenario.target is not None else ""
    return (
        f"The classifier {scenario.classifier} says “{found.label}” of the original. {scenario.attack}{steps}"
        f"{aim}; ComDefend is {scenario.codec}{kept}."
    )


def verdict(found: Survey, row: Row) -> str:
    """Whether a defence held, and whether it needed an attack to fall."""
    if not found.harmless(row):
        return HELD_WORDS["harmful"]
    return HELD_WORDS["held" if found.held(row) else "fell"]


def survey(found: Survey) -> str:
    """Which picture the defences were shown, and how many of them held."""
    scenario = found.outcome.scenario
    against = "the classifier alone"
    if scenario.threat_model == "adaptive":
        against = f"the classifier behind {scenario.codec}, and so against that one only"
    held = sum(found.held(row) and found.harmless(row) for row in found.rows)
    return (
        f"All were shown the same adversarial picture, which {scenario.attack} made against {against}. "
        f"{held} of {len(found.rows)} held: through them it is read as "
        f"“{found.outcome.predictions['original'].label}”, as the original is."
    )


def bits(row: Row) -> str:
    """How many bits for each pixel pass a defence."""
    return "–" if row.bits_per_pixel is None else f"{row.bits_per_pixel:.3g}"


def milliseconds(row: Row) -> str:
    """What a defence takes."""
    return f"{row.milliseconds:.0f}" if row.milliseconds >= 10 else f"{row.milliseconds:.1f}"


def fifty(found: Curves, reported: int | None) -> str:
    """On how many pictures the curves are, and of what.

    Args:
        reported: how many pictures the published figures of the same attack are of; None: there are none.
    """
    scenario = found.scenario
    count = max((count.of for count in found.counts.values()), default=0)
    least = min((count.of for count in found.counts.values()), default=0)
    of = f"{count}" if count == least else f"{least} to {count}"
    steps = f", {scenario.steps} steps" if scenario.steps is not None else ""
    published = (
        f"Thin lines: the published report, up to {reported:,} pictures."
        if reported
        else "The published report has no figures of this attack, classifier and codec with these settings."
    )
    return (
        f"{scenario.attack}{steps}, on {of} of {found.total} test pictures of CIFAR-10 (JPEG copy); "
        f"classifier {scenario.classifier}, codec {scenario.codec}. Bars: 95 % intervals (Wilson). "
        f"{published}"
    )


def line(name: str) -> str:
    """How a curve is called."""
    return LINES[name]


def without(found: Without, before: tuple[str, str]) -> str:
    """What is left without some planes.

    Args:
        before: what was said of the original and of the adversarial picture through all planes.
    """
    if not found.off:
        return "All planes are on: this is the run as it was."
    names = ", ".join(str(number + 1) for number in found.off[:12])
    more = f" and {len(found.off) - 12} more" if len(found.off) > 12 else ""
    said = (found.says_original.label, found.says_adversarial.label)
    parts = [
        f"the {name} is {'still' if now == then else 'now'} read as “{now}”"
        + ("" if now == then else f" (before: “{then}”)")
        for name, now, then in zip(("original", "adversarial picture"), said, before, strict=True)
    ]
    plane = "plane" if len(found.off) == 1 else "planes"
    return (
        f"Without {plane} {names}{more}, {parts[0]}, and {parts[1]}. PSNR to the reconstruction from all "
        f"planes: {decibels(found.psnr_db)}."
    )


def plane(number: int, flipped: int, bits: int, measured: Carried | None) -> str:
    """What is known of one plane, counted from 0: how many of its bits were flipped, and what it carries."""
    name = f"Plane {number + 1}: {flipped:,} of {bits:,} bits flipped"
    if measured is None:
        return name
    return (
        f"{name}; without it the reconstruction moves by {measured.changes[number]:.2f}/255 and is read as "
        f"“{measured.labels[number]}”"
    )
