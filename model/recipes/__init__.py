"""What is trained: one task per kind of model, with its settings, its loss, its defaults and its score."""

from typing import Any

from model.recipes.adversarial import AdversarialTask, RobustTask
from model.recipes.answers import AnswersTask
from model.recipes.chains import CHAINS
from model.recipes.classifier import ClassifierTask, ReconstructionsTask
from model.recipes.codec import CodecTask
from model.recipes.hgd import HgdTask
from model.recipes.light import LightTask, PhotoTask, SmallTask
from model.recipes.purify import PurifyTask
from model.recipes.settings import SettingError, Settings
from model.recipes.task import Recipe, Stage, Step, Task, stage_at

TASKS: dict[str, type[Task[Any]]] = {
    kind.name: kind
    for kind in (
        CodecTask,
        PurifyTask,
        PhotoTask,
        SmallTask,
        ClassifierTask,
        ReconstructionsTask,
        AnswersTask,
        HgdTask,
        AdversarialTask,
        RobustTask,
    )
}

__all__ = [
    "CHAINS",
    "TASKS",
    "AdversarialTask",
    "AnswersTask",
    "ClassifierTask",
    "CodecTask",
    "HgdTask",
    "LightTask",
    "PhotoTask",
    "PurifyTask",
    "Recipe",
    "ReconstructionsTask",
    "RobustTask",
    "SettingError",
    "Settings",
    "SmallTask",
    "Stage",
    "Step",
    "Task",
    "stage_at",
]
