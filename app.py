"""The ComDefend lab: ``python app.py`` serves the page, ``--train`` refreshes the weights."""

import argparse
import shlex
import sys


def build_parser() -> argparse.ArgumentParser:
    from model import train

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--train",
        nargs="?",
        const="codec",
        choices=sorted(train.TASKS),
        help="train the codec (default) or the classifier, then exit",
    )
    train.add_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser().parse_args(argv)
    if args.train:
        from model import train

        return train.main(args, command=shlex.join(["python", "app.py", *argv]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
