"""Accuracy under attack: every defence on the same pictures, the threat model beside each number."""

from model.evaluate.command import REPORTS, add_arguments, main, markers, published
from model.evaluate.markdown import table

__all__ = ["REPORTS", "add_arguments", "main", "markers", "published", "table"]
