"""What is trained: one task per kind of model, with its loss, its defaults and its score."""

from model.recipes.adversarial import AdversarialTask, RobustTask
from model.recipes.classifier import ClassifierTask, ReconstructionsTask
from model.recipes.codec import CodecTask
from model.recipes.light import LightTask, PhotoTask
from model.recipes.purify import PurifyTask
from model.recipes.task import Recipe, SettingError, Stage, Step, Task, learning_rate_factor, stage_at

TASKS: dict[str, type[Task]] = {
    kind.name: kind
    for kind in (
        CodecTask,
        PurifyTask,
        PhotoTask,
        ClassifierTask,
        ReconstructionsTask,
        AdversarialTask,
        RobustTask,
    )
}

__all__ = [
    "TASKS",
    "AdversarialTask",
    "ClassifierTask",
    "CodecTask",
    "LightTask",
    "PhotoTask",
    "PurifyTask",
    "Recipe",
    "ReconstructionsTask",
    "RobustTask",
    "SettingError",
    "Stage",
    "Step",
    "Task",
    "learning_rate_factor",
    "stage_at",
]
