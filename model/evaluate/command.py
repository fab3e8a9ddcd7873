"""``python app.py --evaluate``: from the command line to a folder with the report."""

import argparse
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model import checkpoint, imagenet
from model.attacks import ATTACKS, EVALUATION_ATTACKS, MAX_EPSILON, MIN_EPSILON, AttackError
from model.checkpoint import REPOSITORY, WeightsError
from model.classifiers import load_classifier
from model.config import words
from model.data import DataError, ImageSet, evenly_spaced, load_folder, load_split, to_float
from model.defences import UnknownDefenceError
from model.device import DeviceError, choose_device, device_name
from model.evaluate.journal import Journal
from model.evaluate.markdown import markdown, table
from model.evaluate.plan import BIM, MAIN, PRESETS, Preset
from model.evaluate.report import Report, figures
from model.evaluate.run import Suite
from model.evaluate.systems import (
    System,
    classifier_hash,
    default_names,
    load_systems,
    ready,
    transfer_source,
)
from model.train import EXIT_ERROR, EXIT_OK, positive
from model.zoo import UnknownClassifierError, default_classifier, find_classifier

REPORTS = REPOSITORY / "app" / "report"
"""Where the published reports are, a folder for each classifier."""
README = REPOSITORY / "README.md"
JOURNAL, REPORT, MARKDOWN = "journal.jsonl", "report.json", "report.md"
EXAMPLES = 8
PACKAGES = ("torch", "torchvision", "torchattacks", "numpy", "pillow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of an evaluation (``--data``, ``--data-name`` and ``--seed`` are training's too)."""
    group = parser.add_argument_group("evaluation (--max-minutes is a budget here, too)")
    group.add_argument("--preset", choices=PRESETS, default="quick",
                       help="how much is measured (default: quick)")  # fmt: skip
    group.add_argument("--images", type=positive(int), help="test pictures (default: the preset's)")
    group.add_argument("--adaptive-images", type=_count,
                       help="how many of them the adaptive attacker gets")  # fmt: skip
    group.add_argument("--few-images", type=positive(int),
                       help="how many of these get the strongest attacks one by one")  # fmt: skip
    group.add_argument("--classifier", default=default_classifier("small"),
                       help="by name (default: %(default)s)")  # fmt: skip
    group.add_argument("--defences", type=words, metavar="A,B",
                       help="names, folders, NAME:PLANES, NAME@CLASSIFIER (default: all known)")  # fmt: skip
    group.add_argument("--authors", type=Path, metavar="FILE",
                       help="safetensors file with the authors' weights, the defence 'authors'")  # fmt: skip
    group.add_argument("--attacks", type=_attacks, metavar="A,B", help="only these (default: the preset's)")
    group.add_argument("--epsilons", type=_epsilons, metavar="2,8,16",
                       help="L-infinity strengths in 1/255 (default: the preset's)")  # fmt: skip
    group.add_argument("--with", dest="plugin", type=Path, metavar="FILE.py",
                       help="run this first: it registers classifiers or defences of your own")  # fmt: skip
    group.add_argument("--report", type=Path, help="folder of the report (default: runs/report-CLASSIFIER)")
    group.add_argument("--publish", nargs="?", const="", metavar="NAME",
                       help="copy the report to app/report/NAME and its table into the README "
                            "(default: the classifier's name)")  # fmt: skip


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {text}")
    return value


def _attacks(text: str) -> tuple[str, ...]:
    for name in (names := tuple(words(text))):
        if name not in ATTACKS | EVALUATION_ATTACKS:
            known = ", ".join(ATTACKS | EVALUATION_ATTACKS)
            raise argparse.ArgumentTypeError(f"no attack is called {name!r}; choose from {known}")
    return names


def _epsilons(text: str) -> tuple[float, ...]:
    values = tuple(positive(float)(number) for number in words(text))
    if not values or not all(MIN_EPSILON <= value <= MAX_EPSILON for value in values):
        raise argparse.ArgumentTypeError(f"strengths are from {MIN_EPSILON:g} to {MAX_EPSILON:g}, got {text}")
    return values


def main(args: argparse.Namespace, command: str) -> int:
    """Measure, write the report, print its table; the exit status."""
    try:
        return _evaluate(args, command)
    except KeyboardInterrupt:
        print("\nStopped. What was measured is kept: the same command goes on from it.", file=sys.stderr)
        return 130
    except (
        WeightsError, DataError, AttackError, DeviceError, UnknownDefenceError, UnknownClassifierError
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


def _evaluate(args: argparse.Namespace, command: str) -> int:
    started = time.monotonic()
    if args.plugin is not None:
        run_plugin(args.plugin)
    device = choose_device(args.device)
    preset = chosen_preset(args)
    find_classifier(args.classifier)
    data = load_test_pictures(args.data, find_classifier(args.classifier).config()).every(preset.images)
    names = args.defences or default_names(args.classifier, args.authors)
    some = to_float(data.every(100).images)
    systems = load_systems(names, args.classifier, args.authors, some, device)
    source = transfer_source(args.classifier)
    other = ready(load_classifier(source, device)) if source else None
    seed = args.seed or 0
    weights = {name: digest for system in systems for name, digest in system.weights.items()}
    identity = {
        "classifier": args.classifier,
        "defences": [system.name for system in systems],
        "weights": weights,
        "data": data.fingerprint(),
        "preset": repr(preset),
        "source": None if other is None else classifier_hash(str(source), other),
        "seed": seed,
        "device": device.type,
        "torch": torch.__version__,
    }
    folder = (args.report or REPOSITORY / "runs" / f"report-{args.classifier}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / JOURNAL, identity)
    pair = None if source is None or other is None else (source, other)
    suite = Suite(systems, data.to(device), preset, pair, journal, seed)
    undone = suite.run(started + 60 * args.max_minutes if args.max_minutes else None)

    report: Report = {
        "classifier": args.classifier,
        "about": find_classifier(args.classifier).about,
        "command": command,
        "data": args.data_name or ("CIFAR-10" if args.data is None else args.data.resolve().name),
        "images": len(data),
        "adaptive_images": len(suite.scopes["adaptive"]),
        "preset": preset.name,
        "seed": seed,
        "device": device_name(device),
        "versions": versions(),
        "minutes": round(sum(_seconds(journal)) / 60, 1),
        "weights": weights,
        "strikes": preset.hyper_parameters({s.name: s.defence for s in systems}),
        "not_run": undone,
        **figures(journal.records, systems, suite.scopes),
    }
    write(folder, report)
    draw(folder, report, systems, suite)
    print(table(report))
    print(f"\nThe report is in {folder}")
    if undone:
        print(f"{len(undone)} parts are left to do: the same command goes on.")
    if args.publish is not None:
        publish(folder, report, args.publish or args.classifier)
    return EXIT_OK


def run_plugin(path: Path) -> None:
    """Run a Python file that puts something into the registries."""
    spec = importlib.util.spec_from_file_location(f"plugin_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise DataError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def chosen_preset(args: argparse.Namespace) -> Preset:
    """The preset with what the command line says instead."""
    preset = PRESETS[args.preset]
    images = args.images or preset.images
    missing = [name for name in args.attacks or () if name not in preset.names()]
    if missing:
        raise AttackError(f"the preset {preset.name!r} does not run {', '.join(missing)}; --preset chooses")
    adaptive = preset.adaptive_images if args.adaptive_images is None else args.adaptive_images
    return replace(
        preset,
        images=images,
        adaptive_images=min(images, adaptive),
        few_images=args.few_images or preset.few_images,
        epsilons=args.epsilons or preset.epsilons,
        attacks=args.attacks,
    )


def _seconds(journal: Journal) -> list[float]:
    """What each unit of work took: records of one unit share its time."""
    return [line[0]["seconds"] for line in journal.units.values() if line]


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def load_test_pictures(root: Path | None, config: Any) -> ImageSet:
    """Test pictures as a classifier wants them, their labels in its numbering.

    Args:
        root: folder with ``test/CLASS/*`` or ``CLASS/*``, its classes some of the classifier's: by its names
            for them, or by WordNet's ("n01440764"). None means CIFAR-10, downloaded.
        config: the classifier's.
    """
    if root is None:
        data = load_split(None, "test")
    else:
        folder = root / "test" if (root / "test").is_dir() else root
        data = load_folder(folder, config.image_size, config.crop)
    for known in (config.classes, imagenet.synsets() if len(config.classes) == 1000 else ()):
        if set(data.classes) <= set(known):
            numbers = torch.tensor([known.index(name) for name in data.classes])
            return replace(data, labels=numbers[data.labels], classes=config.classes)
    raise DataError(f"the data has classes that the classifier lacks: {', '.join(data.classes[:12])}")


def write(folder: Path, report: Report) -> None:
    """Write ``report.json`` and ``report.md``."""
    checkpoint.write_json(folder / REPORT, report)
    checkpoint.write_atomically(folder / MARKDOWN, markdown(report).encode())


def draw(folder: Path, report: Report, systems: list[System], suite: Suite) -> None:
    """Write the report's figures."""
    # Imported when used: training, whose options stand beside these, does without matplotlib.
    import matplotlib as mpl

    from model.evaluate import plots

    drawn = {"accuracy": plots.accuracy_against_strength(report)}
    if any("bits_flipped" in cell for cell in report["cells"]):
        drawn["bits"] = plots.flipped_bits(report)
    if report["dial"]:
        drawn["dial"] = plots.dial(report)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):  # text stays text
        for name, figure in drawn.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    some = evenly_spaced(len(suite.x), min(len(suite.x), EXAMPLES))
    undefended = systems[0].classifier
    attacked = suite.craft(
        undefended, suite.x[some], suite.labels[some], BIM, MAIN, seed=suite.seed, stop_early=False
    )
    with torch.no_grad():
        sheet = plots.examples(systems, {"clean": suite.x[some], f"BIM, {MAIN:g}/255": attacked})
    sheet.savefig(folder / "examples.png", dpi=80)


def markers(name: str) -> tuple[str, str]:
    """Between which lines of the README a report's figures stand."""
    return f"<!-- figures of {name}: written by --evaluate -->", f"<!-- end of {name} -->"


def write_into(readme: Path, name: str, text: str) -> None:
    """Put ``text`` between a report's two markers in a Markdown file."""
    begin, end = markers(name)
    before, found_begin, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise DataError(f"{readme} lacks the markers {begin!r} and {end!r}")
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def published() -> dict[str, Report]:
    """The reports that were published, by name: mostly their classifier's."""
    return {path.parent.name: checkpoint.read_json(path) for path in sorted(REPORTS.glob(f"*/{REPORT}"))}


def publish(folder: Path, report: Report, name: str) -> None:
    """Copy a report to where the page shows it, and its table into the README."""
    write_into(README, name, table(report))
    target = REPORTS / name
    if target.resolve() == folder.resolve():
        return
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name != JOURNAL:
            shutil.copy(path, target / path.name)
