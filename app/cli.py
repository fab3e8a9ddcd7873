"""The ComDefend lab: without options it serves the page; ``--train`` refreshes the weights."""

import argparse
import shlex
import sys
from pathlib import Path


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
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--train",
        nargs="?",
        const="codec",
        choices=sorted(train.TASKS),
        help="train the codec (default), the purifying codec or a classifier, then exit",
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
    from model import device, files, train

    parser = build_parser()
    args = parser.parse_args(argv)
    device.no_denormals()
    program = ["comdefend-lab"] if Path(sys.argv[0]).stem == "comdefend-lab" else ["python", "app.py"]
    command = shlex.join([*program, *argv])
    if args.train:
        return train.main(args, command, files.WORKPLACE)
    if given := train.given_settings(args):
        parser.error(f"{train.option(next(iter(given)))} is a setting of a recipe: name one with --train")
    if args.evaluate:
        from app.places import PUBLISHED
        from model import evaluate

        return evaluate.main(args, command, files.WORKPLACE, PUBLISHED)
    if args.benchmark == "compute":
        from model.train import cost

        return cost.main(args.device, args.compile)
    if args.benchmark:
        from app import benchmark

        return benchmark.main(args.device)
    return serve(args)


def serve(args: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    from app.images import open_picture
    from app.lab import Lab
    from app.lessons import Lessons
    from app.opening import Opening, example_pictures
    from app.page.build import build_demo, launch_options
    from app.settings import Settings
    from model.device import DeviceError
    from model.files import WeightsError
    from model.zoo import CODECS, default_classifier

    try:
        settings = Settings.collect(args.host, args.port, args.device, args.share)
        lab = Lab(settings.device)
        for name in CODECS:
            lab.codec(name)
        lab.classifier(default_classifier("small"))
        opening = Opening(lab)
        lessons = Lessons(lab, opening)
        demo = build_demo(lab, opening, lessons)
    except WeightsError as error:
        print(f"error: {error}" + (f"\nRepair: {error.repair}" if error.repair else ""), file=sys.stderr)
        return 1
    except (DeviceError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    small = open_picture(example_pictures()[-1][0])

    def prepare() -> None:
        lab.warm_up([small])
        lessons.begin()

    opening.start(afterwards=prepare)
    try:
        demo.queue(max_size=32).launch(
            server_name=settings.host,
            server_port=settings.port,
            share=settings.share,
            **launch_options(),
        )
    except OSError as error:  # the port is taken, say
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":  # python -m app.cli, where there is no app.py beside the package
    sys.exit(main())
