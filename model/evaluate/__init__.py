"""Accuracy under attack: every defence on the same pictures, the threat model beside each number.

From names to a report, each room once: ``systems`` (which are compared), ``presets`` (which attacks, and
how many), ``plan`` (all ``jobs``, as data), ``run`` and ``execute`` (the jobs done), ``record`` and
``journal`` (what is kept of them), ``checks`` and ``report`` (figures), ``cells``, ``markdown``, ``tables``,
``summary`` and ``plots`` (how they are told), ``publish`` (where they go).
"""

from model.evaluate.command import add_arguments, main
from model.evaluate.publish import Places, published

__all__ = ["Places", "add_arguments", "main", "published"]
