"""What long work tells while it goes on: a generator of these, and of whatever it finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    share: float
    """How much of what is at work now is done, in [0,1]."""
    what: str
    """What that is, for the visitor."""
