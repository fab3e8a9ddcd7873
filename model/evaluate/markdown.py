"""A report in words and tables."""

from model.attacks.catalogue import family, is_autoattack
from model.evaluate import tables
from model.evaluate.cells import (
    Cell,
    Report,
    accuracies,
    adaptive_images,
    codecs,
    failed_checks,
    find_cell,
    grey_box_cell,
    has_autoattack,
    is_cascade,
    leaves,
    parts_of_autoattack,
    percent,
    strengths,
    without_autoattack,
)
from model.evaluate.literature import beside
from model.evaluate.presets import MAIN, SEED
from model.evaluate.systems import PAIRS, has_own_classifier

ROW, SEED_ROW = ("FGSM", "BIM", "PGD"), ("FGSM", "BIM", "DeepFool", "C&W")
"""The attacks of the table in brief, and of the paper's own tables."""
UNDEFENDED = "Without a defence there is nothing to know: the figures of `none` are white-box."
EXPLAINED = """\
`grey-box` knows the classifier, not the defence; `adaptive` knows and differentiates both; `black-box` asks
the defended system for its scores (Square) or knows another classifier (transfer; for `cifar10` one tuned
from it). `DEFENCE@CLASSIFIER` has a classifier of its own, and grey-box pictures made against that one. A
noisy defence is judged by one draw an attack. Intervals are Wilson's, 95 %; differences are to no defence on
the same pictures, paired (Bonett and Price), 95 %."""
FAILS = 0.2
"""Accuracy below which a defence is said not to stop an attacker."""


def headline(report: Report) -> str:
    """The first paragraph: what the best codec leaves, and where it fails.

    A system with a classifier of its own (``@``) is another system, and no codec's merit.
    """
    names = [name for name in report["defences"] if name != "none" and not has_own_classifier(name)]
    ours = [name for name in codecs(report) if name in names]
    text = ""
    if best := _best([w for w in report.get("worst", []) if w["epsilon"] == MAIN], ours):
        fails = best["accuracy"] < FAILS
        text = "ComDefend does not stop an attacker who knows of it (adaptive)" if fails else "Adaptive"
        text += f": at {MAIN:g}/255 "
        if best["accuracy"]:
            text += f"the best codec here, `{best['defence']}`, {leaves(report)} {percent(best)} % of "
            text += f"{best['images']:,} pictures right, each under its own worst attack. "
        else:
            text += (
                f"none of these codecs leaves one of {best['images']:,} pictures right, each under its own "
            )
            text += f"worst attack (95 % interval: up to {100 * best['interval'][1]:.1f} %). "
    text += _trained_against_it(report, first=not text)
    grey = [
        c for c in report["cells"]
        if c["threat_model"] == "grey-box" and c["attack"] == "BIM" and c["epsilon"] == MAIN
    ]  # fmt: skip
    if best := _best(grey, ours):
        text += (
            f"Against one who knows the classifier alone (grey-box), `{best['defence']}` leaves "
            f"{percent(best)} % under BIM at {'that strength' if text else f'{MAIN:g}/255'}"
        )
        if other := _best(grey, [name for name in names if name not in ours]):
            text += f"; the best of the other defences, `{other['defence']}`, {percent(other)} %"
        text += "."
    return text.strip()


def _trained_against_it(report: Report, first: bool) -> str:
    """What the pair leaves that was trained against an attacker who knows it, where it was measured.

    Args:
        first: it is the first sentence, and has to say by itself what it is about.
    """
    worst = [w for w in report.get("worst", []) if w["epsilon"] == MAIN]
    text = ""
    for name, without in PAIRS.items():
        pair, twin = find_cell(worst, defence=name), find_cell(worst, defence=without)
        if pair is not None:
            if first:
                text += "ComDefend, trained together with its classifier against an attacker who knows both, "
                text += f"{leaves(report)} {percent(pair)} % of {pair['images']:,} pictures right at "
                text += f"{MAIN:g}/255, each under its own worst attack"
            else:
                text += "Trained together with its classifier against such an attacker, it "
                text += f"{leaves(report)} {percent(pair)} %"
            text += f"; the classifier alone, trained likewise, {percent(twin)} %. " if twin else ". "
    return text


def _best(cells: list[Cell], names: list[str]) -> Cell | None:
    return max((c for c in cells if c["defence"] in names), key=lambda c: c["accuracy"], default=None)


def table(report: Report) -> str:
    """The headline, and the figures in brief."""
    return "\n\n".join(filter(None, [headline(report), brief(report)]))


def brief(report: Report) -> str:
    """The figures in brief: one line a system, all strengths in one cell."""
    every = strengths(report)
    listed = " · ".join(f"{epsilon:g}" for epsilon in every)
    row = SEED_ROW if report["preset"] == SEED else ROW
    attacks = [name for name in row if any(grey_box_cell(report["cells"], name, e) for e in every)]
    everyone, some = report["images"], adaptive_images(report)
    header = ["defence", "clean", *(f"{name}, grey-box" for name in attacks)]
    about = f"{everyone:,} test pictures"
    if some:
        header.append("worst case, adaptive")
        about += f", {some:,} of them for the adaptive attacker"
    about += f". Data: {report['data']}. Accuracy in % at strengths of {listed} (in 1/255)."
    if some:
        about += f" {_attacks_of_the_worst_case(report)}"
    lines = [about, "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in report["defences"]:
        cells = [c for c in report["cells"] if c["defence"] == name and not is_cascade(c)]
        columns = [f"{report['defences'][name]} (`{name}`)"]
        columns.append(accuracies([find_cell(cells, attack="clean")], everyone))
        columns += [
            accuracies([grey_box_cell(cells, attack, e) for e in every], everyone) for attack in attacks
        ]
        if some:
            worst = [w for w in report["worst"] if w["defence"] == name]
            columns.append(accuracies([find_cell(worst, epsilon=e) for e in every], some) if worst else "")
        lines.append(f"| {' | '.join(columns)} |")
    if "none" in report["defences"]:
        lines += ["", UNDEFENDED]
    if published := beside(report):
        lines += ["", published]
    return "\n".join(lines)


def _attacks_of_the_worst_case(report: Report) -> str:
    """The attacks that the worst case is made of, since it can be no worse than they are."""
    cells = [c for c in report["cells"] if c["epsilon"] is not None and c["attack"] != "noise"]
    whole = {epsilon for epsilon in strengths(report) if has_autoattack(report, epsilon)}
    named = [
        (family(attack) if epsilon in whole else attack, epsilon)
        for attack, epsilon in ((c["attack"], c["epsilon"]) for c in cells)
        if not is_autoattack(attack) or epsilon in whole or attack in parts_of_autoattack(report, epsilon)
    ]
    attacks, tried = list(dict.fromkeys(name for name, _ in named)), set(named)
    everywhere = [a for a in attacks if all((a, epsilon) in tried for epsilon in strengths(report))]
    more = [a for a in attacks if a not in everywhere]
    text = f"The worst case is of {', '.join(everywhere)}"
    text += f", at {MAIN:g}/255 also of {', '.join(more)}" if more else ""
    text += ". What falls at a strength counts as fallen at greater ones."
    if without := [epsilon for epsilon in strengths(report) if epsilon not in whole]:
        where = f" (at {' and '.join(f'{epsilon:g}' for epsilon in without)}/255)" if whole else ""
        why = without_autoattack(report, *without)
        text += f" {why[0].upper()}{why[1:]}{where} it is an upper bound."
    return text


def markdown(report: Report) -> str:
    """The whole report: ``report.md``."""
    parts = [
        f"# {report['classifier']}: accuracy under attack",
        headline(report),
        _failures(report),
        _not_run(report),
        brief(report),
        EXPLAINED,
        details(report),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def details(report: Report) -> str:
    """All figures, checks and hyper-parameters, in sections with headings of the second level."""
    return "\n\n".join("\n".join(section) for section in tables.sections(report))


def _failures(report: Report) -> str:
    """Which checks failed."""
    if not (failed := failed_checks(report)):
        return ""
    about = "**Some checks of the evaluation failed**; the figures of these systems may flatter them:"
    return "\n".join([about, "", *(f"- {text}" for text in failed)])


def _not_run(report: Report) -> str:
    """What a budget left undone."""
    if not (left := report.get("not_run")):
        return ""
    return f"Not run, for lack of time ({len(left)} parts): {'; '.join(left)}."
