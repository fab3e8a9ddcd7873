"""Trains in copies of itself, as often as it is told to, with slow writes: ``test_kills.py`` ends them.

It reads command lines from its standard input, as JSON, and writes a line for the beginning of each ("began",
with the process's number), of each write ("write") and each change of folders ("swap"), and for its end.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from app import cli
from model import files, recipes, train

SLOW_SECONDS = 0.15


def slow(call: Callable[..., Any], word: str) -> Callable[..., Any]:
    """Say a word and dawdle, before and after the call."""

    def dawdling(*arguments: Any) -> Any:
        print(word, file=told, flush=True)
        time.sleep(SLOW_SECONDS)
        answer = call(*arguments)
        time.sleep(SLOW_SECONDS)
        return answer

    return dawdling


def work(arguments: list[str], log: Path) -> None:
    """Be the copy."""
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.fsync = slow(os.fsync, "write")
    files.Path.rename = slow(Path.rename, "swap")  # type: ignore[method-assign]
    os._exit(train.main(cli.build_parser().parse_args(arguments), "as told", files.WORKPLACE))


if __name__ == "__main__":
    torch.set_num_threads(1)  # other threads would not come along with a fork
    files.WORKPLACE = Path.cwd()
    recipes.CodecTask.settings = recipes.CodecTask.chosen(com="8,12", rec="8,3")
    recipes.CodecTask.floor = lambda self: 0.0  # type: ignore[method-assign]
    told = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        if not (number := os.fork()):
            work(json.loads(line), Path("log"))
        print(f"began {number}", file=told, flush=True)
        _, status = os.waitpid(number, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", file=told, flush=True)
