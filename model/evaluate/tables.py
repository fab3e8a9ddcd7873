"""A report in full: a section for each kind of figure, as lines of Markdown."""

from model.evaluate.cells import (
    Cell,
    Report,
    adaptive_images,
    difference,
    find_cell,
    is_cascade,
    is_unbounded,
    percent,
    strengths,
)

Lines = list[str]
"""A section: its heading, an empty line, and so on; without lines where there is nothing to tell."""


def sections(report: Report) -> list[Lines]:
    """Those that have something to tell, in their order."""
    strength = [_strength(report, epsilon) for epsilon in (None, *strengths(report))]
    others = [_worst_table(report), _adaptive_table(report), _unbounded_table(report)]
    planes = _planes_tables(report)
    rest = [_checks_table(report), _provenance(report)]
    return [section for section in (*strength, *others, *planes, *rest) if section]


def _strength(report: Report, epsilon: float | None) -> Lines:
    """Pictures that all defences saw alike: one line an attack, one column a defence."""
    cells = [
        c for c in report["cells"]
        if c["epsilon"] == epsilon and c["threat_model"] != "adaptive" and not is_unbounded(c)
        and not is_cascade(c) and (c["attack"] != "Square" or c["threat_model"] != "black-box")
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
            cell = find_cell(cells, attack=attack, steps=steps, defence=name)
            text = percent(cell)
            if cell and "difference" in cell:
                text += f"; {difference(cell)}"
            row.append(text)
        who = {c["threat_model"] for c in cells if (c["attack"], c["steps"]) == (attack, steps)}
        who = who - {"white-box"} or who
        label = f"{attack}{f', {steps} steps' if steps else ''} ({', '.join(sorted(who))})"
        lines.append(f"| {label} | {' | '.join(row)} |")
    return lines


def _worst_table(report: Report) -> Lines:
    if not (count := adaptive_images(report)):
        return []
    every = strengths(report)
    lines = [
        "## The worst case, adaptive",
        "",
        f"{count:,} pictures, each under its own worst of all attacks at a strength.",
        "",
        f"| defence | {' | '.join(f'{e:g}/255' for e in every)} |",
        "|---" * (len(every) + 1) + "|",
    ]
    for name in report["defences"]:
        worst = [w for w in report["worst"] if w["defence"] == name]
        if worst:
            label = f"`{name}`"
            if worst[0]["images"] != count:
                label += f" ({worst[0]['images']:,} pictures)"
            lines.append(f"| {label} | {' | '.join(percent(find_cell(worst, epsilon=e)) for e in every)} |")
    if twins := report.get("twins"):
        compared = "; ".join(f"{difference(twin)} at {twin['epsilon']:g}/255" for twin in twins)
        lines += ["", f"`{twins[0]['defence']}` less `{twins[0]['twin']}`, in points, paired: {compared}."]
    return lines


def _adaptive_table(report: Report) -> Lines:
    cells = [
        c for c in report["cells"]
        if (c["threat_model"] in ("adaptive", "black-box") or is_cascade(c))
        and c["attack"] != "transfer" and not is_unbounded(c)
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
    return lines


def _unbounded_table(report: Report) -> Lines:
    cells = [c for c in report["cells"] if is_unbounded(c)]
    if not cells:
        return []
    columns = ["success, before rounding", "median L2", "median L∞, in 1/255"]
    columns += ["success, 8 bits", "median L2", "median L∞"]
    balls = sorted({c["epsilon"] for c in cells})
    columns += [f"accuracy inside {epsilon:g}/255" for epsilon in balls]
    lines = [
        "## Attacks without a strength",
        "",
        "Success is a wrong label, at any distance, of a picture that was right; medians are of these.",
        "Accuracy counts only what lies inside a ball.",
        "",
        f"| defence | attack | threat model | {' | '.join(columns)} | pictures |",
        "|---" * (4 + len(columns)) + "|",
    ]
    of = ("defence", "attack", "steps", "threat_model", "images")
    for key in dict.fromkeys(tuple(c[name] for name in of) for c in cells):
        same = [c for c in cells if tuple(c[name] for name in of) == key]
        c, inside = same[0], [percent(find_cell(same, epsilon=epsilon)) for epsilon in balls]
        lines.append(
            f"| `{c['defence']}` | {c['attack']}, {c['steps']} steps | {c['threat_model']} "
            f"| {c['success_before_rounding']:.0%} | {_number(c['median_l2_before_rounding'])} "
            f"| {_number(c['median_linf_255_before_rounding'])} | {c['success_rounded']:.0%} "
            f"| {_number(c['median_l2_rounded'])} | {_number(c['median_linf_255_rounded'])} "
            f"| {' | '.join(inside)} | {c['images']:,} |"
        )
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _planes_tables(report: Report) -> list[Lines]:
    """One section a codec."""
    names = dict.fromkeys(d["defence"] for d in report.get("dial", []))
    return [_planes_table(name, [d for d in report["dial"] if d["defence"] == name]) for name in names]


def _planes_table(name: str, cells: list[Cell]) -> Lines:
    attacks = dict.fromkeys((c["attack"], c["threat_model"], c["epsilon"]) for c in cells)
    header = [
        attack if epsilon is None else f"{attack}, {epsilon:g}/255, {who}" for attack, who, epsilon in attacks
    ]
    lines = [
        f"## Planes kept: `{name}`",
        "",
        f"{cells[0]['images']:,} pictures.",
        "",
        f"| planes | {' | '.join(header)} |",
        "|---" * (len(header) + 1) + "|",
    ]
    for planes in sorted({c["planes"] for c in cells}):
        row = [percent(find_cell(cells, planes=planes, attack=attack)) for attack, _, _ in attacks]
        lines.append(f"| {planes} | {' | '.join(row)} |")
    return lines


def _checks_table(report: Report) -> Lines:
    if not report.get("checks"):
        return []
    verdict = {True: "PASS", False: "**FAIL**", None: "–"}
    lines = ["## Is the evaluation itself sound?", "", "| defence | check | | seen |", "|---|---|---|---|"]
    for name, found in report["checks"].items():
        lines += [f"| `{name}` | {c['name']} | {verdict[c['passed']]} | {c['detail']} |" for c in found]
    return lines


def _provenance(report: Report) -> Lines:
    lines = ["## How it was measured", ""]
    if "command" in report:
        lines.append(f"- Command: `{report['command']}`")
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
    return lines
