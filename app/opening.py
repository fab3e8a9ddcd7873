"""What the page opens with: the example pictures, and a finished run of the first of them."""

import logging
import math
import threading
from collections.abc import Callable
from pathlib import Path

from app import address
from app.images import open_picture
from app.lab import Lab
from app.scenario import Outcome, Scenario

FIRST = address.example_files()[address.FIRST]
SCENARIO = Scenario()
"""The picture and the attack that the page opens with; all controls begin so."""

log = logging.getLogger(__name__)


def example_pictures() -> list[tuple[str, str]]:
    """The example pictures with their captions, photographs first."""
    return [(str(path), name.replace("-", " ")) for name, path in address.example_files().items()]


class Opening:
    """One run of the lab, computed once and kept for everyone who opens the page.

    Args:
        lab: computes it.
        picture: an example.
    """

    def __init__(self, lab: Lab, picture: Path = FIRST, scenario: Scenario = SCENARIO) -> None:
        self.lab = lab
        self.picture = picture
        self.scenario = scenario
        self.outcome: Outcome | None = None
        """None until it is there, and if it failed."""
        self.pending = False
        """Whether it is worth waiting for."""

    def start(self, afterwards: Callable[[], None] = lambda: None) -> threading.Thread:
        """Compute it in a thread of its own, then do something else there."""
        self.pending = True

        def work() -> None:
            self.compute()
            afterwards()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def compute(self) -> None:
        """Compute it now. What goes wrong is logged: the page does without."""
        self.pending = True
        try:
            # Nobody waits for it yet, so that each step can be looked at.
            for event in self.lab.events(open_picture(self.picture), self.scenario, share=math.inf):
                if isinstance(event, Outcome):
                    self.outcome = event
        except Exception:
            log.exception("the page opens without a run")
        finally:
            self.pending = False
