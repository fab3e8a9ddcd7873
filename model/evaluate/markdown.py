"""A report in words and tables."""

from collections.abc import Iterable

from model.evaluate.plan import MAIN
from model.evaluate.report import ALIKE, Cell, Report, codecs
from model.evaluate.systems import PAIRS

ROW = ("FGSM", "BIM", "PGD")
"""The attacks of the table in brief."""
EXPLAINED = """\
`grey-box` knows the classifier, not the defence; `adaptive` knows and differentiates both; `black-box` asks
the defended system for its scores (Square) or knows another classifier (transfer; for `cifar10` one tuned
from it). `DEFENCE@CLASSIFIER` has a classifier of its own, and grey-box pictures made against that one. A
noisy defence is judged by one draw an attack. Intervals are Wilson's, 95 %; differences are to no defence on
the same pictures, paired (Bonett and Price), 95 %."""
FAILS = 0.2
"""Accuracy below which a defence is said not to stop an attacker."""


def percent(cell: Cell | None) -> str:
    """Accuracy with its interval, in %."""
    if cell is None:
        return ""
    low, high = (100 * v for v in cell["interval"])
    return f"{100 * cell['accuracy']:.1f} ({low:.1f} to {high:.1f})"


def difference(cell: Cell) -> str:
    """A paired difference with its interval, in points."""
    low, high = (100 * v for v in cell["difference_interval"])
    return f"{100 * cell['difference']:+.1f} ({low:+.1f} to {high:+.1f})"


def find(cells: list[Cell], **wanted: object) -> Cell | None:
    """The cell with these values; of several the one on the most pictures, since some attacks come twice."""
    found = (c for c in cells if all(c.get(k) == v for k, v in wanted.items()))
    return max(found, key=lambda cell: cell["images"], default=None)


def strengths(report: Report) -> list[float]:
    """All strengths in 1/255, rising."""
    return sorted({c["epsilon"] for c in report["cells"] if c["threat_model"] in ALIKE})


def failed_checks(report: Report) -> list[str]:
    """One line for each check that failed."""
    return [
        f"{name}: {check['name']}: {check['detail']}"
        for name, found in report.get("checks", {}).items()
        for check in found
        if check["passed"] is False
    ]


def headline(report: Report) -> str:
    """The first paragraph: what the best codec leaves, and where it fails.

    A system with a classifier of its own (``@``) is another system, and no codec's merit.
    """
    names = [name for name in report["defences"] if "@" not in name and name != "none"]
    ours = [name for name in codecs(report) if name in names]
    text = ""
    if best := _best([w for w in report.get("worst", []) if w["epsilon"] == MAIN], ours):
        fails = best["accuracy"] < FAILS
        text = "ComDefend does not stop an attacker who knows of it (adaptive)" if fails else "Adaptive"
        text += f": at {MAIN:g}/255 "
        if best["accuracy"]:
            text += f"the best codec here, `{best['defence']}`, leaves {percent(best)} % of "
            text += f"{best['images']:,} pictures right, each under its own worst attack. "
        else:
            text += f"no codec here leaves one of {best['images']:,} pictures right, each under its own "
            text += f"worst attack (95 % interval: up to {100 * best['interval'][1]:.1f} %). "
    text += _trained_against_it(report)
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


def _trained_against_it(report: Report) -> str:
    """What the pair leaves that was trained against an attacker who knows it, where it was measured."""
    worst = [w for w in report.get("worst", []) if w["epsilon"] == MAIN]
    text = ""
    for name, without in PAIRS.items():
        pair, twin = find(worst, defence=name), find(worst, defence=without)
        if pair is not None:
            text += "Trained together with its classifier against such an attacker, it leaves "
            text += f"{percent(pair)} %"
            text += f"; the classifier alone, trained likewise, {percent(twin)} %. " if twin else ". "
    return text


def _best(cells: list[Cell], names: list[str]) -> Cell | None:
    return max((c for c in cells if c["defence"] in names), key=lambda c: c["accuracy"], default=None)


def table(report: Report) -> str:
    """The figures in brief, for the README: one line a defence, all strengths in one cell."""
    every = strengths(report)
    listed = " · ".join(f"{epsilon:g}" for epsilon in every)
    attacks = [name for name in ROW if any(_alike(report["cells"], name, e) for e in every)]
    with_worst = bool(report.get("worst"))
    header = ["defence", "clean", *(f"{name}, grey-box" for name in attacks)]
    header += ["worst case, adaptive"] * with_worst
    lines = [first, ""] if (first := headline(report)) else []
    about = f"{report['images']:,} test pictures"
    if with_worst:
        about += f", {report['worst'][0]['images']:,} of them for the adaptive attacker"
    lines += [
        f"{about}. Data: {report['data']}. Accuracy in % at strengths of {listed} (in 1/255)."
        + (f" {_tried(report)}" if with_worst else ""),
        "",
        f"| {' | '.join(header)} |",
        "|---" * len(header) + "|",
    ]

    def row(found: Iterable[Cell | None], count: int) -> str:
        """Accuracies, and of how many pictures where it is another number than ``count``."""
        cells = list(found)
        counts = {c["images"] for c in cells if c is not None} - {count}
        text = " · ".join("–" if c is None else f"{100 * c['accuracy']:.1f}" for c in cells)
        return text + (f" (of {', '.join(map(str, sorted(counts)))})" if counts else "")

    everyone, some = report["images"], report["worst"][0]["images"] if with_worst else 0

    for name in report["defences"]:
        cells = [c for c in report["cells"] if c["defence"] == name and not c.get("cascade")]
        columns = [f"{report['defences'][name]} (`{name}`)", row([find(cells, attack="clean")], everyone)]
        columns += [
            row([_alike(cells, attack, epsilon) for epsilon in every], everyone) for attack in attacks
        ]
        if with_worst:
            worst = [w for w in report["worst"] if w["defence"] == name]
            columns.append(row([find(worst, epsilon=e) for e in every], some) if worst else "")
        lines.append(f"| {' | '.join(columns)} |")
    if "none" in report["defences"]:
        lines += ["", "Without a defence there is nothing to know: the figures of `none` are white-box."]
    return "\n".join(lines)


def _tried(report: Report) -> str:
    """Of which attacks the worst case is, since it can be no worse than they are."""
    cells = [c for c in report["cells"] if c["epsilon"] is not None and c["attack"] != "noise"]
    attacks = list(dict.fromkeys(c["attack"] for c in cells))
    tried = {(c["attack"], c["epsilon"]) for c in cells}
    everywhere = [a for a in attacks if all((a, epsilon) in tried for epsilon in strengths(report))]
    more = [a for a in attacks if a not in everywhere]
    text = f"The worst case is of {', '.join(everywhere)}"
    text += f", at {MAIN:g}/255 also of {', '.join(more)}" if more else ""
    text += ". What falls at a strength counts as fallen at greater ones."
    without = [f"{epsilon:g}" for epsilon in strengths(report) if ("AutoAttack", epsilon) not in tried]
    if without:
        where = f" (at {' and '.join(without)}/255)" if "AutoAttack" in attacks else ""
        text += f" Without AutoAttack{where} it is an upper bound."
    return text


def _alike(cells: list[Cell], attack: str, epsilon: float) -> Cell | None:
    """The cell of pictures that were made against the classifier alone."""
    return find([c for c in cells if c["threat_model"] in ALIKE], attack=attack, epsilon=epsilon)


def markdown(report: Report) -> str:
    """The whole report."""
    lines = [f"# {report['classifier']}: accuracy under attack", ""]
    lines += [headline(report), ""]
    if wrong := failed_checks(report):
        lines += [
            "**Some checks of the evaluation failed**; the figures of these systems may flatter them:",
            "",
        ]
        lines += [f"- {text}" for text in wrong] + [""]
    if report.get("not_run"):
        lines += [
            f"Not run, for lack of time ({len(report['not_run'])} parts): "
            + "; ".join(report["not_run"])
            + ".",
            "",
        ]
    lines += [table(report).removeprefix(headline(report)).strip(), ""]
    lines += [EXPLAINED, ""]
    for epsilon in (None, *strengths(report)):
        lines += _strength(report, epsilon)
    lines += _worst_table(report) + _adaptive_table(report) + _unbounded_table(report)
    lines += _dial_table(report) + _checks_table(report) + _provenance(report)
    return "\n".join(lines).rstrip() + "\n"


def _strength(report: Report, epsilon: float | None) -> list[str]:
    """Pictures that all defences saw alike: one line an attack, one column a defence."""
    cells = [
        c for c in report["cells"]
        if c["epsilon"] == epsilon and c["threat_model"] != "adaptive" and "success_rounded" not in c
        and not c.get("cascade") and (c["attack"] != "Square" or c["threat_model"] != "black-box")
    ]  # fmt: skip
    if not cells:
        return []
    names = list(report["defences"])
    title = "Clean pictures" if epsilon is None else f"{epsilon:g}/255, pictures made against the classifier"
    lines = [
        f"## {title}",
        "",
        f"| | {' | '.join(f'`{n}`' for n in names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    attacks = dict.fromkeys((c["attack"], c["steps"]) for c in cells)
    for attack, steps in attacks:
        row = []
        for name in names:
            cell = find(cells, attack=attack, steps=steps, defence=name)
            text = percent(cell)
            if cell and "difference" in cell:
                text += f"; {difference(cell)}"
            row.append(text)
        who = {c["threat_model"] for c in cells if (c["attack"], c["steps"]) == (attack, steps)}
        who = who - {"white-box"} or who
        label = f"{attack}{f', {steps} steps' if steps else ''} ({', '.join(sorted(who))})"
        lines.append(f"| {label} | {' | '.join(row)} |")
    return [*lines, ""]


def _worst_table(report: Report) -> list[str]:
    if not report.get("worst"):
        return []
    every = strengths(report)
    lines = [
        "## The worst case, adaptive",
        "",
        f"{report['worst'][0]['images']:,} pictures, each under its own worst of all attacks at a strength.",
        "",
        f"| defence | {' | '.join(f'{e:g}/255' for e in every)} |",
        "|---" * (len(every) + 1) + "|",
    ]
    for name in report["defences"]:
        worst = [w for w in report["worst"] if w["defence"] == name]
        if worst:
            label = f"`{name}`"
            if worst[0]["images"] != report["worst"][0]["images"]:
                label += f" ({worst[0]['images']:,} pictures)"
            lines.append(f"| {label} | {' | '.join(percent(find(worst, epsilon=e)) for e in every)} |")
    if twins := report.get("twins"):
        compared = "; ".join(f"{difference(twin)} at {twin['epsilon']:g}/255" for twin in twins)
        lines += ["", f"`{twins[0]['defence']}` less `{twins[0]['twin']}`, in points, paired: {compared}."]
    return [*lines, ""]


def _adaptive_table(report: Report) -> list[str]:
    cells = [
        c for c in report["cells"]
        if (c["threat_model"] == "adaptive" or c["threat_model"] == "black-box" or c.get("cascade"))
        and c["attack"] != "transfer" and "success_rounded" not in c
    ]  # fmt: skip
    if not cells:
        return []
    lines = [
        "## Attacks on the defended system, one by one",
        "",
        "A `cascade` attacks what still stands after all attacks above it, so its figure is what is left.",
        "",
        "| defence | strength | attack | steps | gradient | loss | accuracy | pictures |",
        "|---" * 8 + "|",
    ]
    for c in cells:
        attack = c["attack"] + (", cascade" if c["cascade"] else "")
        attack += f", {c['restarts']} restarts" if c["restarts"] > 1 else ""
        lines.append(
            f"| `{c['defence']}` | {c['epsilon']:g}/255 | {attack} | {c['steps'] or ''} "
            f"| {c['gradient'] or ''} | {c['loss'] or ''} | {percent(c)} | {c['images']:,} |"
        )
    return [*lines, ""]


def _unbounded_table(report: Report) -> list[str]:
    cells = [c for c in report["cells"] if "success_rounded" in c]
    if not cells:
        return []
    columns = ["success, before rounding", "median L2", "median L∞, in 1/255"]
    columns += ["success, 8 bits", "median L2", "median L∞"]
    lines = [
        "## Attacks without a strength",
        "",
        "Success is a wrong label, at any distance, of a picture that was right; medians are of these.",
        f"Accuracy counts only what lies inside {MAIN:g}/255.",
        "",
        f"| defence | attack | threat model | {' | '.join(columns)} | accuracy inside the ball | pictures |",
        "|---" * 11 + "|",
    ]
    lines += [
        f"| `{c['defence']}` | {c['attack']}, {c['steps']} steps | {c['threat_model']} "
        f"| {c['success_before_rounding']:.0%} | {_number(c['median_l2_before_rounding'])} "
        f"| {_number(c['median_linf_255_before_rounding'])} | {c['success_rounded']:.0%} "
        f"| {_number(c['median_l2_rounded'])} | {_number(c['median_linf_255_rounded'])} | {percent(c)} "
        f"| {c['images']:,} |"
        for c in cells
    ]
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _dial_table(report: Report) -> list[str]:
    lines = []
    for name in dict.fromkeys(d["defence"] for d in report.get("dial", [])):
        mine = [d for d in report["dial"] if d["defence"] == name]
        attacks = dict.fromkeys((d["attack"], d["threat_model"], d["epsilon"]) for d in mine)
        header = [
            attack if epsilon is None else f"{attack}, {epsilon:g}/255, {who}"
            for attack, who, epsilon in attacks
        ]
        lines += [
            f"## Planes kept: `{name}`",
            "",
            f"{mine[0]['images']:,} pictures.",
            "",
            f"| planes | {' | '.join(header)} |",
            "|---" * (len(header) + 1) + "|",
        ]
        for planes in sorted({d["planes"] for d in mine}):
            row = [percent(find(mine, planes=planes, attack=attack)) for attack, _, _ in attacks]
            lines.append(f"| {planes} | {' | '.join(row)} |")
        lines.append("")
    return lines


def _checks_table(report: Report) -> list[str]:
    if not report.get("checks"):
        return []
    verdict = {True: "PASS", False: "**FAIL**", None: "–"}
    lines = ["## Is the evaluation itself sound?", "", "| defence | check | | seen |", "|---|---|---|---|"]
    for name, found in report["checks"].items():
        lines += [f"| `{name}` | {c['name']} | {verdict[c['passed']]} | {c['detail']} |" for c in found]
    return [*lines, ""]


def _provenance(report: Report) -> list[str]:
    lines = ["## How it was measured", "", f"- Command: `{report['command']}`"]
    count, few = report["images"], report["adaptive_images"]
    lines.append(f"- Preset: {report['preset']}; {count:,} pictures, {few:,} for the adaptive attacker")
    lines += [f"- Data: {report['data']}", f"- Seed {report['seed']}, device: {report['device']}"]
    if "minutes" in report:
        lines.append(f"- Time: {report['minutes']:g} minutes")
    if "versions" in report:
        lines.append("- Versions: " + ", ".join(f"{k} {v}" for k, v in report["versions"].items()))
    lines += [f"- SHA-256 of `{name}`: `{digest}`" for name, digest in report["weights"].items()]
    if "strikes" in report:
        lines.append("- All hyper-parameters: `strikes` in `report.json`")
    return [*lines, ""]
