"""The ComDefend lab: without options it serves the page; ``--train`` refreshes the weights."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.lab import Lab
    from app.settings import Settings


class Parser(argparse.ArgumentParser):
    """One whose help ends with the settings of each recipe."""

    def format_help(self) -> str:
        from model import train

        return f"{super().format_help()}\n{train.settings_help()}"


def build_parser() -> argparse.ArgumentParser:
    """All options. Nothing here imports gradio, which training does without."""
    from model import evaluate, train

    parser = Parser(description=__doc__.replace("``", ""))
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    serve = parser.add_argument_group("serving")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port (default: 7860 or the next free one)")
    serve.add_argument("--share", action="store_true", help="make a public link")
    serve.add_argument("--metrics-port", type=int, help="port for Prometheus (default: none)")
    serve.add_argument("--limit", action="append", default=[], metavar="NAME=VALUE",
                       help="what visitors may take, see docs/hosting.md; once for each limit")  # fmt: skip
    # --codec is among the settings of recipes, which the help has apart.
    serve.description = (
        "--codec USER/NAME serves with a codec from the Hub, or from a folder, where none is chosen"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--train",
        nargs="?",
        const="codec",
        choices=sorted({*train.TASKS, *train.CHAINS}),
        help="train a model (default: %(const)s), or several in a row, then exit",
    )
    mode.add_argument(
        "--licences", action="store_true", help="list the licences of all packages and pictures, then exit"
    )
    mode.add_argument("--evaluate", action="store_true", help="measure accuracy under attack, then exit")
    mode.add_argument(
        "--benchmark",
        nargs="?",
        const="page",
        choices=("page", "compute"),
        help="measure the speed of the page (default), or what training and inference cost, then exit",
    )
    train.add_arguments(parser)
    evaluate.add_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if is_lent_a_gpu():
        import spaces  # noqa: F401 - before torch, parts of which it replaces
    from model import device, files, memory, train

    parser = build_parser()
    args = parser.parse_args(argv)
    device.no_denormals()
    memory.keep_freed()
    program = ["comdefend-lab"] if Path(sys.argv[0]).stem == "comdefend-lab" else ["python", "app.py"]
    command = shlex.join([*program, *argv])
    if args.train:
        begin = train.main_of_chain if args.train in train.CHAINS else train.main
        return begin(args, command, files.WORKPLACE)
    given = train.given_settings(args)
    # A recipe has a setting of that name, too.
    codec = None if args.evaluate or args.benchmark or args.licences else given.pop("codec", None)
    if given:
        parser.error(f"{train.option(next(iter(given)))} is a setting of a recipe: name one with --train")
    if args.evaluate:
        from app.places import PUBLISHED
        from model import evaluate

        return evaluate.main(args, command, files.WORKPLACE, PUBLISHED)
    if args.licences:
        from app import licences

        return licences.main()
    if args.benchmark == "compute":
        from model.train import cost

        return cost.main(args.device, args.compile)
    if args.benchmark:
        from app import benchmark

        return benchmark.main(args.device)
    return serve(args, codec)


def is_lent_a_gpu() -> bool:
    """Whether this is a Space that is lent a GPU for each run (ZeroGPU)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def serve(args: argparse.Namespace, codec: str | None = None) -> int:
    """Serve the page until it is stopped.

    Args:
        args: the options.
        codec: one that is none of ours, by its Hub id or its folder.
    """
    from app import settings
    from app.server.leftovers import own_folder

    try:
        settings.choose(settings.Limits.collect(args.limit))
        wanted = settings.Settings.collect(
            args.host, args.port, args.device, args.share, metrics_port=args.metrics_port, codec=codec
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        with own_folder() as folder:  # before Gradio is imported, which looks then where files go
            status, is_idle = _serve(wanted, folder)
        if not is_idle:
            sys.stderr.flush()
            os._exit(status)
        return status
    except OSError as error:  # the port is taken, say
        print(f"error: {error}", file=sys.stderr)
        return 1


def _lab(device: str, waiting: float) -> "Lab":
    if not is_lent_a_gpu():
        from app.lab import Lab

        return Lab(device, waiting=waiting)
    from app import zero_gpu

    zero_gpu.load()
    return zero_gpu.BorrowingLab("cpu", waiting=waiting)


def _serve(wanted: "Settings", folder: Path) -> tuple[int, bool]:
    """The exit status, and whether nothing goes on any more; all temporary files are in ``folder``."""
    from app import settings
    from app.address import examples_of
    from app.images import open_picture
    from app.lessons import Lessons
    from app.opening import Opening
    from app.page.build import build_demo, health_of, launch_options
    from app.server import metrics, runs, serving
    from app.server.leftovers import Strays
    from model import cores
    from model.device import DeviceError
    from model.files import WeightsError
    from model.zoo import CODECS, default_classifier, prefer_codec

    cores.one_for_each()
    try:
        if wanted.codec is not None:
            prefer_codec(wanted.codec)
        lab = _lab(wanted.device, settings.limits.waiting_runs)
        for name in CODECS:
            lab.codec(name)
        lab.classifier(default_classifier("small"))
        opening = Opening(lab)
        lessons = Lessons(lab, opening)
        demo = build_demo(lab, opening, lessons)
        demo.temp_file_sets.append(Strays(folder))
        if wanted.metrics_port is not None:
            listen, _ = metrics.start(
                wanted.metrics_port,
                wanted.host or "127.0.0.1",
                waiting=lambda: lab.turns.waiting,
                going=lambda: demo.duty.going,
            )
            demo.journal.listeners.append(listen)
    except WeightsError as error:
        print(f"error: {error}" + (f"\nRepair: {error.repair}" if error.repair else ""), file=sys.stderr)
        return 1, True
    except (DeviceError, metrics.MetricsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1, True
    runs.log_to_stderr()
    small = open_picture(examples_of("small")[0])

    def prepare() -> None:
        lab.warm_up([small])
        lessons.begin()

    warming = opening.start(afterwards=prepare)
    is_idle = serving.serve(
        demo.queue(),
        demo.duty,
        settings.limits.closing_seconds,
        server_name=wanted.host,
        server_port=wanted.port,
        share=wanted.share,
        **launch_options(lambda: health_of(demo, lab)),
    )
    return 0, is_idle and not warming.is_alive() and not lessons.is_pending


if __name__ == "__main__":  # python -m app.cli, where there is no app.py beside the package
    sys.exit(main())
