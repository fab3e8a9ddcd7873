"""Training: a loop that can be stopped anywhere, resumed bit for bit, and never loses weights."""

from model.recipes import TASKS
from model.train.command import EXIT_ERROR, EXIT_OK, main
from model.train.install import EXIT_KEPT_OLD
from model.train.options import add_arguments, given_settings, option, positive, settings_help

__all__ = [
    "EXIT_ERROR",
    "EXIT_KEPT_OLD",
    "EXIT_OK",
    "TASKS",
    "add_arguments",
    "given_settings",
    "main",
    "option",
    "positive",
    "settings_help",
]
