"""``python app.py --train`` for a recipe that takes several runs: one after the other, in one command."""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from model.files import replace_folder
from model.pretrained import TENSORS_FILE
from model.recipes.chains import CHAINS, Chain, options
from model.train.command import EXIT_ERROR, EXIT_OK
from model.train.command import main as train
from model.train.options import PREFIX, given_settings, option
from model.train.run import Clock

FIXED = ("epochs", "max_minutes", "lr", "seed")
"""Options that each run of a chain has of its own."""


def main(args: argparse.Namespace, command: str, place: Path, clock: Clock = time.perf_counter) -> int:
    """Train what the chain ``args.train`` makes; the exit status.

    With ``--resume``, runs that came to their end are left as they are, and the one that did not goes on.

    Args:
        args, command, place, clock: as of :func:`model.train.command.main`.
    """
    chain = CHAINS[args.train]
    given = [name for name in FIXED if getattr(args, name) is not None]
    if given := [*given, *given_settings(args)]:
        print(f"error: {option(given[0])} is fixed by {chain.name}, run by run", file=sys.stderr)
        return EXIT_ERROR
    outs = _folders(chain, args.out or place / "weights" / chain.folder, place)
    started, last = clock(), len(outs)
    if not args.resume:  # what an earlier chain left would pass for what this one makes
        for out in (out for out in outs[:-1] if out.exists()):
            replace_folder(out, out.with_name(f"{out.name}.old"))  # this one may yet be refused
            shutil.rmtree(out)
    for number, out in enumerate(outs, 1):
        checkpoint = place / "runs" / out.name / "checkpoint.safetensors"
        if number < last and args.resume and (out / TENSORS_FILE).is_file():
            print(f"Run {number} of {last} is there: {out}")
            continue
        print(f"Run {number} of {last}")
        one = _options(args, chain, number, outs)
        one.resume = args.resume and checkpoint.is_file()
        one.force = args.force or number < last
        if args.stop_after is not None:
            one.stop_after = max(1e-3, args.stop_after - (clock() - started) / 60)
        status = train(one, command, place, clock)
        if status != EXIT_OK or not (number == last or (out / TENSORS_FILE).is_file()):
            return status
    return EXIT_OK


def _folders(chain: Chain, result: Path, place: Path) -> list[Path]:
    """Where each run leaves its weights: the last one in ``result``, the others among the runs."""
    runs = place / "runs"
    return [*(runs / f"{result.name}-{n}" for n in range(1, len(chain.links))), result]


def _options(args: argparse.Namespace, chain: Chain, number: int, outs: list[Path]) -> argparse.Namespace:
    """The command line of one run."""
    chosen = options(chain, number, [os.path.relpath(out) for out in outs])
    settings = {PREFIX + name: value for name, value in chosen.pop("settings").items()}
    return argparse.Namespace(
        **{**vars(args), **chosen, **settings, "train": chain.task.name, "out": outs[number - 1]}
    )
