"""What becomes of a finished run's weights: written, scored, and put in the place of the old ones."""

from pathlib import Path
from typing import Any

from torch import nn

from model.cards import write_card
from model.config import Config
from model.data import ImageSet
from model.device import device_name
from model.files import WeightsError, replace_folder, write_json
from model.pretrained import TENSORS_FILE, read_config
from model.recipes import Task
from model.train.run import Run, TrainingError, evaluate

EXIT_KEPT_OLD = 3


def places(base: Path, names: tuple[str, ...]) -> list[Path]:
    """The folders of a run's models: ``base`` itself where there is one model, else one in it for each."""
    return [base] if len(names) == 1 else [base / name for name in names]


def check_out(outs: list[Path], run_folder: Path) -> None:
    """Refuse a folder that is there already and is neither a model's nor the run's: it would be replaced."""
    for out in outs:
        if not out.exists() or out == run_folder.resolve():
            continue
        if not out.is_dir() or (any(out.iterdir()) and not (out / TENSORS_FILE).exists()):
            raise TrainingError(f"--out {out} exists and holds no model; name another folder")


def install(run: Run, train: ImageSet, test: ImageSet, outs: list[Path], force: bool) -> bool:
    """Put the finished run's weights in the place of the old ones, if they deserve it.

    Args:
        outs: a folder for each of the task's models, see :func:`places`.
        force: even if the old ones are better, or the run got nowhere.

    Returns:
        Whether the weights in ``outs`` are now the new ones.
    """
    task, score = run.task, run.task.score
    run.finish(train)
    fresh = places(run.path.parent / "model", tuple(out.name for out in outs))
    for part, folder in zip(task.parts(), fresh, strict=True):
        part.save_pretrained(folder)
    figures = evaluate(task, _loaded(task, fresh, run), test)
    for part, folder in zip(task.parts(), fresh, strict=True):
        record = _record(run, part, figures, len(test))
        write_json(folder / "history.json", record)
        write_card(folder, part.config, record)
    print(f"test {score}: {figures[score]:.4f} on {len(test)} pictures")

    where = " and ".join(map(str, outs))
    reason = None
    if not figures[score] >= task.floor():
        reason = f"the run got nowhere ({score} {figures[score]:.4f}, floor {task.floor():g})"
    elif any((out / TENSORS_FILE).exists() for out in outs):
        try:
            other = [out for part, out in zip(task.parts(), outs, strict=True) if _other_classes(part, out)]
            old = {} if other else evaluate(task, _loaded(task, outs, run), test)
        except WeightsError as error:
            print(f"the weights in {where} are replaced, for they do not load: {error}")
        else:
            if other:
                reason = f"the ones in {other[0]} tell other classes apart"
            elif old[score] > figures[score]:
                reason = f"the old weights are better ({score} {old[score]:.4f} on the same pictures)"
    if reason and not force:
        print(
            f"Kept the weights in {where}: {reason}. The new ones are in {' and '.join(map(str, fresh))}; "
            f"to install them all the same, repeat the command with --resume --force."
        )
        return False
    for new, out in zip(fresh, outs, strict=True):
        replace_folder(new, out)
    print(f"New weights in {where}")
    return True


def _other_classes(part: nn.Module, folder: Path) -> bool:
    """Whether the classifier in a folder is one of other classes than a part of a task."""
    config: Config = part.config  # type: ignore[assignment]
    old, _ = read_config(folder, type(config))
    return getattr(old, "classes", None) != getattr(config, "classes", None)


def _loaded(task: Task[Any], folders: list[Path], run: Run) -> nn.Module:
    """The task's system, with models from files."""
    parts = zip(task.parts(), folders, strict=True)
    return task.joined(*(type(p).from_pretrained(f, map_location=run.device) for p, f in parts))


def _record(run: Run, part: nn.Module, figures: dict[str, float], test_images: int) -> dict[str, Any]:
    """What is told of a run and of one of its models, in ``history.json``."""
    record = {
        # A task may have found out what its run started from.
        "recipe": run.recipe.to_dict() | {"settings": run.task.settings.to_dict()},
        "command": run.command,
        "device": device_name(run.device),
        "processes": run.accelerator.num_processes,
        "minutes": round(run.elapsed / 60, 1),
        "steps": run.step,
        "parameters": sum(p.numel() for p in part.parameters()),
        "test_images": test_images,
        "test": figures,
        "epochs": run.history,
        "held_out": run.task.held_out,
    }
    if run.task.before is not None:
        record["before"] = run.task.before
    return record
