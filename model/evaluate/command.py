"""``python app.py --evaluate``: from the command line to a folder with the report."""

import argparse
import importlib.metadata
import importlib.util
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from model.attacks import ATTACKS, EVALUATION_ATTACKS, MAX_EPSILON, MIN_EPSILON, AttackError
from model.attacks.catalogue import family
from model.config import comma_separated
from model.data import DataError, ImageSet, evenly_spaced, to_float
from model.defences import UnknownDefenceError
from model.device import DeviceError, choose_device, device_name
from model.evaluate import measure
from model.evaluate.cells import Report
from model.evaluate.execute import Executor
from model.evaluate.journal import JOURNAL, Heading, Journal
from model.evaluate.markdown import table
from model.evaluate.pictures import AGREEMENT, have_labels, load_test_pictures, load_unlabelled
from model.evaluate.plan import choose_scopes, plan
from model.evaluate.presets import BIM, MAIN, PRESETS, SEED, Preset
from model.evaluate.publish import Places, draw, publish, write
from model.evaluate.report import figures
from model.evaluate.run import run
from model.evaluate.systems import System, load_frozen, load_systems, transfer_source
from model.evaluate.wanted import Wanted, reports_wanted
from model.files import StorageError, WeightsError, held
from model.train import EXIT_ERROR, EXIT_OK, positive
from model.zoo import UnknownClassifierError, default_classifier, find_classifier

EXAMPLES = 8
"""So many pictures are on the sheet of examples."""
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
    group.add_argument("--classifier",
                       help=f"by name (default: {default_classifier('small')}; of the preset {SEED}: "
                            "all that there are for the data)")  # fmt: skip
    group.add_argument("--defences", type=comma_separated, metavar="A,B",
                       help="names, folders, NAME:PLANES, NAME@CLASSIFIER "
                            "(default: all known, but for denoisers)")  # fmt: skip
    group.add_argument("--authors", type=Path, metavar="FILE",
                       help="safetensors file with the authors' weights, the defence 'authors'")  # fmt: skip
    group.add_argument("--attacks", type=_attacks, metavar="A,B", help="only these (default: the preset's)")
    group.add_argument("--epsilons", type=_epsilons, metavar="2,8,16",
                       help="L-infinity strengths in 1/255 (default: the preset's)")  # fmt: skip
    group.add_argument("--with", dest="plugin", type=Path, metavar="FILE.py",
                       help="run this first: it registers classifiers or defences of your own")  # fmt: skip
    group.add_argument("--report", type=Path,
                       help="folder of the report (default: runs/report-CLASSIFIER, of the preset "
                            f"{SEED}: runs/report-{SEED}-CLASSIFIER)")  # fmt: skip
    group.add_argument("--publish", nargs="?", const="", metavar="NAME",
                       help="publish the report under that name: the page shows it, its table goes into "
                            "docs/results.md, a summary of all into README.md "
                            "(default: the classifier's name)")  # fmt: skip


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, got {text}")
    return value


def _attacks(text: str) -> tuple[str, ...]:
    known = dict.fromkeys(map(family, ATTACKS | EVALUATION_ATTACKS))
    for name in (names := tuple(comma_separated(text))):
        if name not in known:
            raise argparse.ArgumentTypeError(f"no attack is called {name!r}; choose from {', '.join(known)}")
    return names


def _epsilons(text: str) -> tuple[float, ...]:
    values = tuple(positive(float)(number) for number in comma_separated(text))
    if not values or not all(MIN_EPSILON <= value <= MAX_EPSILON for value in values):
        raise argparse.ArgumentTypeError(f"strengths are from {MIN_EPSILON:g} to {MAX_EPSILON:g}, got {text}")
    return tuple(dict.fromkeys(values))


def main(args: argparse.Namespace, command: str, place: Path, places: Places) -> int:
    """Measure, write the report, print its table; the exit status.

    Args:
        args: the options.
        command: as it was typed, for the report.
        place: the folder that has ``runs/``, or gets it.
        places: where reports are published, if one is.
    """
    try:
        return _evaluate(args, command, place, places)
    except KeyboardInterrupt:
        print("\nStopped. What was measured is kept: the same command goes on from it.", file=sys.stderr)
        return 130
    except (
        WeightsError, DataError, AttackError, DeviceError, StorageError, UnknownDefenceError,
        UnknownClassifierError,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR


def _evaluate(args: argparse.Namespace, command: str, place: Path, places: Places) -> int:
    started = time.monotonic()
    if args.plugin is not None:
        run_plugin(args.plugin)
    deadline = started + 60 * args.max_minutes if args.max_minutes else None
    for wanted in reports_wanted(args):
        _measure(wanted, args, command, place, places, deadline)
    return EXIT_OK


def _measure(
    wanted: Wanted,
    args: argparse.Namespace,
    command: str,
    place: Path,
    places: Places,
    deadline: float | None,
) -> None:
    """Make one report."""
    device = choose_device(args.device)
    preset = chosen_preset(args)
    classifier = wanted.classifier
    entry = find_classifier(classifier)
    data_name = wanted.data_name
    if wanted.data is None or have_labels(wanted.data):
        data = load_test_pictures(wanted.data, entry.config()).every(preset.images)
    else:
        data = load_unlabelled(wanted.data, load_frozen(classifier, device)[0], preset.images)
        data_name += f", {AGREEMENT}"
    some = to_float(data.every(100).images)
    systems = load_systems(wanted.defences, classifier, args.authors, some, device)
    source = transfer_source(classifier)
    other = source_digest = None
    if source is not None:
        known, source_digest = load_frozen(source, device)
        other = source, known
    seed = args.seed or 0
    scopes = choose_scopes(len(data), preset)
    weights = {name: digest for system in systems for name, digest in system.weights.items()}
    heading = Heading(
        {
            "classifier": classifier,
            "data": data.fingerprint(),
            "source": source_digest,
            "seed": seed,
            "device": device.type,
            "torch": torch.__version__,
        },
        {system.name: system.identity for system in systems},
        {scope: len(indices) for scope, indices in scopes.items()},
        repr(preset),
    )
    folder = (args.report or place / "runs" / f"report-{wanted.name}").resolve()
    with held(folder):
        journal = Journal(folder / JOURNAL, heading)
        pictures = data.to(device)
        jobs = plan(systems, preset, scopes, source)
        left = run(jobs, Executor(systems, pictures, scopes, other), journal, seed, deadline)

    report: Report = {
        "classifier": classifier,
        "about": entry.about,
        "command": command,
        "data": data_name,
        "images": len(data),
        "adaptive_images": len(scopes["adaptive"]),
        "preset": preset.name,
        "seed": seed,
        "device": device_name(device),
        "versions": versions(),
        "minutes": round(sum(journal.seconds.get(job.key, 0) for job in jobs) / 60, 1),
        "weights": weights,
        "strikes": preset.hyper_parameters({s.name: s.defence for s in systems}),
        "not_run": left,
        **figures(journal.of(job.key for job in jobs), systems, scopes),
    }
    write(folder, report)
    draw(folder, report, systems, sheet_pictures(systems[0], pictures, seed))
    print(table(report))
    print(f"\nThe report is in {folder}")
    if left:
        print(f"{len(left)} parts are left to do: the same command goes on.")
    if args.publish is not None:
        publish(folder, report, args.publish or wanted.name, places)


def sheet_pictures(system: System, data: ImageSet, seed: int) -> dict[str, torch.Tensor]:
    """A few pictures as they are, and attacked, shape (N,3,H,W) each, for the sheet of examples."""
    some = evenly_spaced(len(data), min(len(data), EXAMPLES))
    x, labels = to_float(data.images)[some], data.labels[some]
    attacked = measure.craft(system.classifier, x, labels, BIM, MAIN, seed, stop_early=False)
    return {"clean": x, f"BIM, {MAIN:g}/255": attacked.pictures}


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


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
