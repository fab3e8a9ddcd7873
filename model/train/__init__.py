"""Training: a loop that can be stopped anywhere, resumed bit for bit, and never loses weights."""

from model.recipes import CHAINS, TASKS
from model.train.chain import main as main_of_chain
from model.train.command import EXIT_ERROR, EXIT_OK, main
from model.train.install import EXIT_KEPT_OLD
from model.train.options import add_arguments, given_settings, option, positive, settings_help

__all__ = [
    "CHAINS",
    "EXIT_ERROR",
    "EXIT_KEPT_OLD",
    "EXIT_OK",
    "TASKS",
    "add_arguments",
    "given_settings",
    "main",
    "main_of_chain",
    "option",
    "positive",
    "settings_help",
]
