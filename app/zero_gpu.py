"""A GPU that is lent for single runs, as Hugging Face's ZeroGPU does. Only a Space of that kind imports this.

Its package ``spaces`` forks this process, gives the copy a GPU, and runs there what it has decorated. So that
takes and gives only what can be pickled, and uses no lock, event or lab of the process that it is a copy of.
Each visitor has some minutes a day: what two cores do in a second or two stays on them.
"""

import logging
import pickle
from collections.abc import Callable, Iterator

import gradio as gr
import spaces
import torch
from gradio.context import LocalContext
from PIL import Image

from app.events import Frame, Progress
from app.lab import Lab
from app.scenario import Outcome, Scenario, ScenarioError, Watch
from app.shelf import Shelf
from app.words import NO_GPU
from model import cores
from model.attacks import AttackError
from model.zoo import CLASSIFIERS, CODECS, find_classifier

log = logging.getLogger(__name__)

DEVICE = "cuda"
"""What ``spaces`` pretends to have in this process, and gives to its copies."""
LONGEST_SECONDS = 60
START_SECONDS = 5
STEP_SECONDS = 0.1
"""A step of an attack through codec and classifier, with room: who takes longer than asked for is ended."""

_models: Shelf | None = None


def load() -> None:
    """Put the models of photographs where the lent GPU has them; before the server starts."""
    global _models
    _models = Shelf(DEVICE)
    for codec in CODECS:
        _models.codec(codec)
    for name in CLASSIFIERS:
        if is_lent_for(name):
            _models.classifier(name)


def is_lent_for(classifier: str) -> bool:
    """Whether runs of a classifier are lent a GPU: one of photographs, whose weights are at hand."""
    entry = find_classifier(classifier)
    return entry.pictures == "photographs" and not entry.is_download


def seconds(picture: Image.Image, scenario: Scenario, share: float) -> int:  # noqa: ARG001
    """For how long a GPU is asked for; the parameters are those of :func:`run`."""
    return round(min(LONGEST_SECONDS, START_SECONDS + STEP_SECONDS * (scenario.steps or 1)))


@spaces.GPU(duration=seconds)
def run(picture: Image.Image, scenario: Scenario, share: float) -> Iterator[bytes]:
    """The events of :meth:`app.lab.Lab.events`, on a lent GPU; a refusal is the last of them, not raised.

    Closing the generator stops the run at its next event.

    Yields:
        Pickles. Of an object, tensors would come by shared memory, which is gone should the copy be ended.
    """
    # OpenMP's threads do not come along with a fork; work that is shared out to them is waited for in vain.
    torch.set_num_threads(1)
    cores.COUNT = 1
    lab = Lab(DEVICE)
    if _models is not None:
        lab.adopt(_models)
    try:
        for event in lab.events(picture, scenario, Watch(limit_s=LONGEST_SECONDS), share):
            yield pickle.dumps(event)
    except (ScenarioError, AttackError) as error:
        yield pickle.dumps(error)


class BorrowingLab(Lab):
    """A lab on the CPU that is lent a GPU for the adaptive attacks on photographs.

    Where none is to be had, since the visitor has used up theirs, say, the run goes on the CPU.
    """

    def _run(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch,
        on_frame: Callable[[Frame], None] | None,
        share: float = 0,
    ) -> Outcome:
        setup = self.resolve(scenario, picture.size, watch)
        is_worth_it = setup.is_adaptive and is_lent_for(setup.scenario.classifier)
        # The lab's own runs, of the opening and the lessons, have no visitor whose minutes they could take.
        if is_worth_it and LocalContext.request.get(None) is not None:
            try:
                return self._borrowed(picture, setup.scenario, watch, on_frame, share)
            except gr.Error as error:
                log.warning("No GPU was lent, a run goes on the CPU: %s", error.message)
            watch.report(0, NO_GPU)
        return super()._run(picture, scenario, watch, on_frame, share)

    def _borrowed(
        self,
        picture: Image.Image,
        scenario: Scenario,
        watch: Watch,
        on_frame: Callable[[Frame], None] | None,
        share: float,
    ) -> Outcome:
        watch.report(0, "Waiting for a GPU")
        events = run(picture, scenario, share if on_frame is not None else 0)
        try:
            for pickled in events:
                watch.check()
                event: Progress | Frame | Outcome | Exception = pickle.loads(pickled)  # noqa: S301 - our own
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, Outcome):
                    return event
                if isinstance(event, Progress):
                    watch.report(event.share, event.what)
                elif on_frame is not None:
                    on_frame(event)
        finally:
            events.close()
        raise gr.Error("the run on the GPU ended without a result", print_exception=False)
