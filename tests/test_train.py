"""Training through the command line, on a few generated pictures."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from app import cli
from model import ComDefend, files, recipes, train
from model.classifiers import Classifier
from model.data import load_split
from model.recipes import chains
from model.recipes.settings import spelled_out
from model.train import chain, checkpoint, command, loop, plan
from model.train.run import Run, moving_average
from model.train.schedule import Batches, mixed_seed
from tests.conftest import ROOT, script, ticking

main = script().main


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small networks, and runs kept in a folder of the test."""
    monkeypatch.setattr(recipes.CodecTask, "settings", recipes.CodecTask.chosen(com="8,12", rec="8,3"))
    monkeypatch.setattr(files, "WORKPLACE", tmp_path)
    monkeypatch.setattr(recipes.CodecTask, "floor", lambda self: 5.0)
    monkeypatch.setattr(recipes.ClassifierTask, "floor", lambda self: 0.0)
    monkeypatch.setattr(recipes.PurifyTask, "floor", lambda self: 0.0)


def options(dataset: Path, out: Path, *more: str, what: str = "codec") -> list[str]:
    return ["--train", what, "--data", str(dataset), "--out", str(out), "--batch-size", "8",
            "--device", "cpu", "--precision", "float32", *more]  # fmt: skip


def train_by(clock: Callable[[], float], given: list[str]) -> int:
    """What the command line does, by another clock."""
    return train.main(cli.build_parser().parse_args(given), "by another clock", files.WORKPLACE, clock)


def new_run(
    task: recipes.Task, total_steps: int, clock: Callable[[], float] = time.perf_counter, **recipe: object
) -> Run:
    """A run of one process on a CPU that saves nothing."""
    given = recipes.Recipe(
        **{
            "task": task.name, "batch_size": 8, "micro_batches": 1, "learning_rate": 1e-3, "epochs": None,
            "max_minutes": 1.0, "seed": 0, "precision": "float32", "data": "d", **recipe,
        }
    )  # fmt: skip
    return Run(
        task, task.optimizer(1e-3), given, Path("nowhere"), torch.device("cpu"), Accelerator(cpu=True),
        total_steps, "", {}, clock=clock, started=clock(),
    )  # fmt: skip


@pytest.mark.parametrize(("what", "kind"), [("codec", ComDefend), ("classifier", Classifier)])
def test_training_leaves_a_complete_folder(dataset, tmp_path, what, kind):
    out = tmp_path / "weights" / what
    assert main(options(dataset, out, "--epochs", "3", "--data-name", "two colours", what=what)) == 0
    assert {p.name for p in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
        "history.json",
        "curve.svg",
    }
    kind.from_pretrained(out)
    record = json.loads((out / "history.json").read_text())
    assert record["steps"] == 12
    assert [row["epoch"] for row in record["epochs"]] == [1, 2, 3]
    assert record["test_images"] == 16
    card = (out / "README.md").read_text()
    assert "two colours" in card
    assert "--epochs 3" in card
    assert record["recipe"]["data"] == "two colours"


def test_a_full_disk_ends_a_training_with_a_sentence_and_leaves_the_checkpoint(
    dataset, tmp_path, monkeypatch, capsys
):
    out, kept = tmp_path / "c", tmp_path / "runs" / "c" / "checkpoint.safetensors"
    flush = files.os.fsync

    def fsync(descriptor: int) -> None:
        if kept.exists():  # there was room for one
            raise OSError(errno.ENOSPC, "full")
        flush(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    assert main(options(dataset, out, "--epochs", "3")) == 1
    error = capsys.readouterr().err
    assert "checkpoint.safetensors could not be written: No space left on device" in error
    assert "Traceback" not in error
    assert checkpoint.read_run_state(kept)["step"] == 4  # of the first epoch
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    monkeypatch.setattr(files.os, "fsync", flush)
    assert main(options(dataset, out, "--resume")) == 0
    ComDefend.from_pretrained(out)


@pytest.mark.slow
def test_train_alone_means_the_codec(dataset, tmp_path):
    out = tmp_path / "c"
    found = ["--train", "--data", str(dataset), "--out", str(out), "--epochs", "1", "--device", "cpu"]
    assert main(found) == 0
    ComDefend.from_pretrained(out)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["codec", "classifier"])
def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(dataset, tmp_path, monkeypatch, what):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert main(options(dataset, unbroken, "--epochs", "3", what=what)) == 0

    steps = 0
    step = loop.train_step

    def stopping_step(*args, **kwargs):
        nonlocal steps
        steps += 1
        if steps == 6:  # in the middle of the second epoch
            signal.raise_signal(signal.SIGTERM)
        return step(*args, **kwargs)

    monkeypatch.setattr(loop, "train_step", stopping_step)
    assert main(options(dataset, broken, "--epochs", "3", what=what)) == 128 + signal.SIGTERM
    assert steps == 6
    assert not broken.exists()
    state = checkpoint.read_run_state(tmp_path / "runs" / "broken" / "checkpoint.safetensors")
    assert state["step"] == 6
    assert main(options(dataset, broken, "--resume", what=what)) == 0
    one, other = (load_file(folder / "model.safetensors") for folder in (unbroken, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    histories = [json.loads((f / "history.json").read_text())["epochs"] for f in (unbroken, broken)]
    assert [row["step"] for row in histories[0]] == [row["step"] for row in histories[1]]


@pytest.mark.slow
def test_a_run_has_settings_and_a_resumed_run_keeps_them(dataset, tmp_path, tiny_weights, capsys):
    out = tmp_path / "p"
    chosen = ("--dropout", "0.1", "--guide", "0.5")
    settings = recipes.PurifyTask.chosen(dropout=0.1, guide=0.5).to_dict()
    assert settings["guide_noise"] == 0.1  # the recipe's own
    given = options(dataset, out, "--epochs", "500", "--stop-after", "1", *chosen, what="purify")
    assert train_by(ticking(20), given) == 0
    state = checkpoint.read_run_state(tmp_path / "runs" / "p" / "checkpoint.safetensors")
    assert state["recipe"]["settings"] == settings
    again = options(dataset, out, "--resume", "--stop-after", "1", what="purify")
    assert train_by(ticking(20), again) == 0
    assert main([*again, "--dropout", "1"]) == 1
    assert "dropout is 0.1 in" in capsys.readouterr().err
    assert train_by(ticking(20), [*again, *chosen]) == 0


def test_a_setting_that_the_recipe_lacks_is_one_sentence(dataset, tmp_path, tiny_weights, capsys):
    assert main(options(dataset, tmp_path / "p", "--held-out", "1", what="purify")) == 1
    assert "error: the recipe 'purify' has no setting 'held_out'; it has: weakest" in capsys.readouterr().err


def test_arch_is_for_classifiers_and_names_one_that_is_trained_here(dataset, tmp_path, tiny_weights, capsys):
    assert main(options(dataset, tmp_path / "c", "--arch", "vgg", what="classifier")) == 1
    assert (
        "error: arch must be one of resnet9, preact-resnet20, resnet50, got 'vgg'" in capsys.readouterr().err
    )
    assert main(options(dataset, tmp_path / "c", "--arch", "resnet9", what="purify")) == 1
    assert "'purify' has no setting 'arch'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_record_and_the_card_name_the_settings_and_the_runs_before(dataset, tmp_path, tiny_weights):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(options(dataset, first, "--epochs", "1", "--dropout", "0.1", what="purify")) == 0
    more = ("--epochs", "2", "--start", str(first))
    assert main(options(dataset, second, *more, what="purify")) == 0
    records = [json.loads((out / "history.json").read_text()) for out in (first, second)]
    settings = recipes.PurifyTask.chosen(dropout=0.1).to_dict()
    assert records[0]["recipe"]["settings"] == settings
    assert {"agreement", "clean_agreement", "psnr_db", "ssim"} == set(records[0]["test"])
    assert records[1]["before"] == records[0]
    assert f"Settings: {', '.join(spelled_out(settings))}\n" in (first / "README.md").read_text()
    card = (second / "README.md").read_text()
    assert f"start={first}, strongest=" in card
    before = f"4 steps in {records[0]['minutes']:g} minutes; settings: {', '.join(spelled_out(settings))}; "
    assert f"Before that: {before}`{records[0]['command']}`" in card
    ComDefend.from_pretrained(second)


@pytest.mark.slow
def test_a_resumed_run_remembers_the_run_before_when_it_has_taken_its_place(dataset, tmp_path, tiny_weights):
    out = tmp_path / "p"
    record = out / "history.json"
    assert main(options(dataset, out, "--epochs", "1", what="purify")) == 0
    first = json.loads(record.read_text())
    more = ("--epochs", "2", "--start", str(out), "--force")
    assert main(options(dataset, out, *more, what="purify")) == 0
    assert main(options(dataset, out, "--resume", "--force", what="purify")) == 0
    assert json.loads(record.read_text())["before"] == first


@pytest.mark.slow
def test_a_classifier_may_be_tuned_on_reconstructions(dataset, tmp_path, tiny_weights):
    out = tmp_path / "tuned"
    assert main(options(dataset, out, "--epochs", "1", what="classifier-on-reconstructions")) == 0
    record = json.loads((out / "history.json").read_text())
    assert record["recipe"]["task"] == "classifier-on-reconstructions"
    assert record["recipe"]["settings"]["start"] == "cifar10"
    assert Classifier.from_pretrained(out).config.arch == "tiny"


@pytest.mark.slow
def test_stop_after_saves_and_changes_no_schedule(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    # The clock is looked at when the run begins, when it is made, and after each step.
    assert train_by(ticking(10), options(dataset, out, "--epochs", "500", "--stop-after", "0.5")) == 0
    assert "--resume goes on" in capsys.readouterr().out
    path = tmp_path / "runs" / "c" / "checkpoint.safetensors"
    first = checkpoint.read_run_state(path)
    assert (first["step"], first["total_steps"], first["seconds"]) == (2, 2000, 40)
    assert train_by(ticking(10), options(dataset, out, "--resume", "--stop-after", "0.2")) == 0
    second = checkpoint.read_run_state(path)
    assert (second["step"], second["total_steps"], second["seconds"]) == (3, 2000, 70)
    assert not out.exists()


@pytest.mark.slow
def test_weights_may_go_to_the_folder_of_the_run_itself(dataset, tmp_path, capsys):
    out = tmp_path / "runs" / "c"
    assert train_by(ticking(60), options(dataset, out, "--epochs", "30", "--stop-after", "1")) == 0
    assert "--resume goes on" in capsys.readouterr().out
    assert main(options(dataset, out, "--resume")) == 0
    ComDefend.from_pretrained(out)


@pytest.mark.slow
def test_a_resumed_run_keeps_its_schedule(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    main(options(dataset, out, "--epochs", "2"))
    assert main(options(dataset, out, "--resume", "--epochs", "9")) == 1
    assert "epochs is 2" in capsys.readouterr().err
    assert main(options(dataset, out, "--resume", what="classifier")) == 1
    assert "'codec', not of 'classifier'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_another_version_is_one_sentence(dataset, tmp_path, capsys, monkeypatch):
    out = tmp_path / "c"
    assert train_by(ticking(60), options(dataset, out, "--epochs", "500", "--stop-after", "1")) == 0
    to_dict = recipes.Recipe.to_dict
    monkeypatch.setattr(recipes.Recipe, "to_dict", lambda self: {"old": 1, **to_dict(self)})
    assert train_by(ticking(60), options(dataset, out, "--epochs", "500", "--stop-after", "1")) == 0
    assert main(options(dataset, out, "--resume")) == 1
    assert (
        "holds a run of another version of this program: unknown entries ['old']" in capsys.readouterr().err
    )


@pytest.mark.slow
def test_max_minutes_fixes_the_steps_once(dataset, tmp_path, monkeypatch):
    out = tmp_path / "c"
    assert train_by(ticking(1), options(dataset, out, "--max-minutes", "2", "--stop-after", "1")) == 0
    state = checkpoint.read_run_state(tmp_path / "runs" / "c" / "checkpoint.safetensors")
    assert 0 < state["step"] < state["total_steps"]

    def fail(*_: object) -> int:
        raise AssertionError("planned anew")

    monkeypatch.setattr(command, "plan_steps", fail)
    assert main(options(dataset, out, "--resume")) == 0
    record = json.loads((out / "history.json").read_text())
    assert record["recipe"]["max_minutes"] == 2
    assert record["steps"] == state["total_steps"]


@pytest.mark.slow
def test_planning_counts_all_that_a_run_costs(dataset, monkeypatch):
    """With a clock of our own: steps of 10 ms at 16 pixels and 40 ms at 32, a test of 1 s."""
    now = 0.0
    data = load_split(dataset, "train")
    task = recipes.CodecTask(data)

    def step(run, data, indices, generator):
        nonlocal now
        now += 0.01 if run.step / run.total_steps < 0.8 else 0.04
        return {"loss": torch.zeros(())}

    def test(task, model, data):
        nonlocal now
        now += 1.0
        return {}

    monkeypatch.setattr(plan, "train_step", step)
    monkeypatch.setattr(plan, "evaluate", test)
    batches = Batches(len(data), 8, 0)  # 4 steps an epoch
    planning = 8 * 0.01 + 8 * 0.04 + 2 * 1.0  # the first test only warms up
    per_step = 0.8 * 0.01 + 0.2 * 0.04 + 1.0 / 4
    wanted = int((600 - planning - 2 * 1.0) / per_step)
    found = plan.plan_steps(new_run(task, 1000, lambda: now), batches, data, data, 10.0)
    assert found == pytest.approx(wanted, abs=1)


@pytest.mark.slow
def test_planning_leaves_the_run_as_it_was(dataset, tmp_path):
    timed, plain = tmp_path / "timed", tmp_path / "plain"
    assert train_by(ticking(1), options(dataset, timed, "--max-minutes", "2")) == 0
    steps = json.loads((timed / "history.json").read_text())["steps"]
    assert main(options(dataset, plain, "--epochs", str(steps / 4))) == 0
    one, other = (load_file(folder / "model.safetensors") for folder in (timed, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_better_old_weights_are_kept_unless_forced(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    main(options(dataset, out, "--epochs", "8"))
    good = (out / "model.safetensors").read_bytes()
    assert main(options(dataset, out, "--epochs", "1")) == train.EXIT_KEPT_OLD
    assert "old weights are better" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == good
    assert main(options(dataset, out, "--resume", "--force")) == 0
    assert (out / "model.safetensors").read_bytes() != good
    ComDefend.from_pretrained(out)


@pytest.mark.slow
def test_a_run_that_got_nowhere_is_not_installed(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recipes.CodecTask, "floor", lambda self: 99.0)
    out = tmp_path / "c"
    assert main(options(dataset, out, "--epochs", "1")) == train.EXIT_KEPT_OLD
    assert "got nowhere" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.slow
def test_a_diverged_run_says_so_and_keeps_the_old_weights(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    main(options(dataset, out, "--epochs", "1"))
    good = (out / "model.safetensors").read_bytes()
    assert main(options(dataset, out, "--epochs", "20", "--lr", "1e38")) == 1
    assert "the run has diverged" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() == good


@pytest.mark.slow
def test_damaged_old_weights_are_replaced(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    main(options(dataset, out, "--epochs", "1"))
    (out / "config.json").write_text("{")
    assert main(options(dataset, out, "--epochs", "1")) == 0
    assert "do not load" in capsys.readouterr().out
    ComDefend.from_pretrained(out)


@pytest.mark.slow
def test_weights_of_other_classes_are_kept_unless_forced(dataset, tmp_path, capsys):
    other, out = tmp_path / "other", tmp_path / "c"
    shutil.copytree(dataset, other)
    for split in ("train", "test"):
        (other / split / "red").rename(other / split / "green")
    assert main(options(other, out, "--epochs", "1", what="classifier")) == 0
    old = (out / "model.safetensors").read_bytes()
    assert main(options(dataset, out, "--epochs", "1", what="classifier")) == train.EXIT_KEPT_OLD
    assert f"the ones in {out} tell other classes apart" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == old
    assert main(options(dataset, out, "--resume", "--force", what="classifier")) == 0
    assert Classifier.from_pretrained(out).classes == ("blue", "red")


def test_pictures_of_two_sizes_are_one_sentence(dataset, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    for path in (other / "train").rglob("*.png"):
        with Image.open(path) as image:
            image.resize((28, 28)).save(path)
    assert main(options(other, tmp_path / "c")) == 1
    assert "sides of 28 pixels and 32 pixels" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_classifier_to_attack_is_one_sentence(dataset, tmp_path, tiny_weights, capsys):
    assert main(options(dataset, tmp_path / "h", "--against", "nobody", what="hgd")) == 1
    assert "unknown classifier 'nobody'" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_saved_at_an_epochs_end_has_its_figures(dataset, tmp_path, monkeypatch):
    """A run that was killed while they were measured would go on without them."""
    saved, save = [], Run.save

    def noting(run):
        saved.append((run.step, [epoch["step"] for epoch in run.history]))
        save(run)

    monkeypatch.setattr(Run, "save", noting)
    monkeypatch.setattr(loop, "SHOW_EVERY_STEPS", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1)
    assert main(options(dataset, tmp_path / "c", "--epochs", "2")) == 0
    assert [step for step, _ in saved] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [done for step, done in saved if step % 4 == 0] == [[4], [4, 8]]


@pytest.mark.slow
def test_an_empty_folder_holds_no_damaged_weights(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    out.mkdir()
    assert main(options(dataset, out, "--epochs", "1")) == 0
    assert "do not load" not in capsys.readouterr().out
    ComDefend.from_pretrained(out)


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--resume"], "checkpoint.safetensors is missing"), (["--device", "nonsense"], "'nonsense'")],
)
def test_what_cannot_be_done_is_one_sentence(dataset, tmp_path, capsys, more, message):
    assert main(options(dataset, tmp_path / "c", "--epochs", "1", *more)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_goes_on_only_with_its_own_data_and_folder(dataset, tmp_path, capsys):
    out = tmp_path / "c"
    train_by(ticking(60), options(dataset, out, "--epochs", "500", "--stop-after", "1"))
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    (other / "train" / "red" / "0.png").unlink()
    assert main(options(other, out, "--resume")) == 1
    assert "other training pictures" in capsys.readouterr().err
    assert main(options(dataset, tmp_path / "elsewhere" / "c", "--resume")) == 1
    assert "elsewhere" in capsys.readouterr().err


def test_a_folder_that_is_no_models_is_never_replaced(dataset, tmp_path, capsys):
    out = tmp_path / "letters"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    assert main(options(dataset, out, "--epochs", "1")) == 1
    assert "holds no model" in capsys.readouterr().err
    assert (out / "letter.txt").read_text() == "dear"


@pytest.mark.slow
def test_bfloat16_trains(dataset, tmp_path):
    out = tmp_path / "c"
    assert main(options(dataset, out, "--epochs", "1", "--precision", "bfloat16")) == 0
    assert all(t.dtype == torch.float32 for t in load_file(out / "model.safetensors").values())


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_never_saved(dataset, tmp_path, monkeypatch, capsys):
    step = loop.train_step

    def spoiling_step(run, *args):
        with torch.no_grad():
            run.task.model.com.conv0.weight.fill_(float("nan"))
        return step(run, *args) | {"loss": torch.zeros(())}

    monkeypatch.setattr(loop, "train_step", spoiling_step)
    assert main(options(dataset, tmp_path / "c", "--epochs", "1")) == 1
    assert "the run has diverged" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "c" / "checkpoint.safetensors").exists()


def test_missing_data_is_one_sentence(tmp_path, capsys):
    assert main(options(tmp_path / "nothing", tmp_path / "c")) == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        "--epochs 0",
        "--max-minutes nan",
        "--lr -1",
        "--seed -1",
        "--seed 36893488147419103232",
        "--epochs 1 --max-minutes 1",
        "--micro-batches 0",
    ],
)
def test_impossible_options_are_refused(dataset, tmp_path, option):
    with pytest.raises(SystemExit):
        main(options(dataset, tmp_path / "c", *option.split()))


def test_every_epoch_sees_every_picture_once():
    batches = Batches(count=103, size=10, seed=4)
    first, second = batches.order(0), batches.order(1)
    assert first.shape == (10, 10)
    assert len(set(first.flatten().tolist())) == 100
    assert not torch.equal(first, second)
    assert torch.equal(first, Batches(103, 10, 4).order(0))
    assert Batches(count=3, size=10, seed=0).order(0).shape == (1, 3)


@pytest.mark.processes
def test_training_needs_neither_gradio_nor_torchattacks_nor_matplotlib():
    code = (
        "import sys; sys.modules |= dict.fromkeys(['gradio', 'torchattacks', 'matplotlib']); "
        "import model, model.train, model.attacks, model.evaluate"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.slow
def test_the_moving_average_follows_the_steps(dataset, tiny_weights):
    """By a twentieth of the way, 50 / 1000 steps, from where training began."""
    data = load_split(dataset, "train")
    run = new_run(
        recipes.AdversarialTask(data, recipes.AdversarialTask.chosen(arch="tiny")), 1000, learning_rate=1.0
    )
    weight = run.task.model.net[0].weight
    wanted = weight.detach().clone()
    for run.step in range(100, 104):
        loop.train_step(run, data, torch.arange(8), torch.Generator())
        wanted = 0.95 * wanted + 0.05 * weight.detach()
        assert torch.allclose(run.result.net[0].weight, wanted, atol=1e-6)
    assert not torch.allclose(run.result.net[0].weight, weight, atol=1e-3)
    assert all(not parameter.requires_grad for parameter in run.result.parameters())


def test_the_average_has_batch_norms_statistics_and_counters(dataset):
    model = torch.nn.BatchNorm1d(1)
    average = moving_average(model, 0.75, total_steps=1000)
    model(torch.tensor([[8.0], [12.0]]))
    average.update(model)
    assert model.running_mean.item() == pytest.approx(1.0)
    assert average.module.running_mean.item() == pytest.approx(0.25)
    assert average.module.num_batches_tracked == model.num_batches_tracked == 1


def test_without_an_average_the_last_weights_are_the_result(dataset):
    run = new_run(recipes.CodecTask(load_split(dataset, "train")), 1000)
    assert run.average is None
    assert run.result is run.task.model


def test_micro_batches_add_up_to_the_mean_of_their_gradients(dataset, tiny_weights):
    data = load_split(dataset, "train")
    run = new_run(recipes.CodecTask(data), 1000, micro_batches=2)
    run.step = 100
    wanted = []
    for number, part in enumerate(torch.arange(8).chunk(2)):
        generator = torch.Generator().manual_seed(mixed_seed(0, 1, 100, *[number] * number))
        run.task.step(data.images[part], data.labels[part], 0.1, generator).loss.backward()
    wanted = [parameter.grad / 2 for parameter in run.task.model.parameters()]
    norm = torch.stack([gradient.norm() for gradient in wanted]).norm()
    loop.train_step(run, data, torch.arange(8), torch.Generator())
    scale = min(1.0, run.task.max_grad_norm / norm.item())
    for parameter, gradient in zip(run.task.model.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, scale * gradient, rtol=1e-3, atol=1e-7)


def test_batches_that_do_not_come_out_even_are_one_sentence(dataset, tmp_path, capsys):
    assert main(options(dataset, tmp_path / "c", "--micro-batches", "3")) == 1
    assert "a batch of 8 cannot be cut into 3 equal micro-batches" in capsys.readouterr().err
    # There are 32 pictures, and so no larger batch.
    assert main(options(dataset, tmp_path / "c", "--batch-size", "99", "--micro-batches", "3")) == 1
    assert "a batch of 32 cannot be cut into 3 equal micro-batches" in capsys.readouterr().err


@pytest.mark.slow
def test_compiled_training_learns_the_same(dataset, tmp_path, monkeypatch):
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    assert main(options(dataset, plain, "--epochs", "1")) == 0
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    assert main(options(dataset, compiled, "--epochs", "1", "--compile")) == 0
    assert graphs["unique_graphs"] > before
    one, other = (load_file(folder / "model.safetensors") for folder in (plain, compiled))
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], rtol=1e-3, atol=1e-4) for name in one)


@pytest.fixture
def short_chain(monkeypatch):
    """A chain of three runs, the last of which starts from the mean of both before it."""
    links = (
        chains.Link({"dropout": "0.1"}, epochs=1),
        chains.Link({}, starts=(1,), epochs=1, learning_rate=1e-4, seed=1),
        chains.Link({"dropout": "0.3"}, starts=(1, 2), epochs=1, seed=2),
    )
    monkeypatch.setitem(chains.CHAINS, "purify-chain", chains.PURIFY_CHAIN._replace(links=links))


@pytest.mark.slow
def test_a_chain_is_its_runs_one_after_the_other(dataset, tmp_path, tiny_weights, short_chain, capsys):
    apart, out = tmp_path / "apart", tmp_path / "together"
    first, second = (tmp_path / "runs" / f"{apart.name}-{n}" for n in (1, 2))
    for folder, *more in (
        (first, "--dropout", "0.1"),
        (second, "--start", str(first), "--lr", "1e-4", "--seed", "1"),
        (apart, "--start", f"{first},{second}", "--dropout", "0.3", "--seed", "2"),
    ):
        assert main(options(dataset, folder, "--epochs", "1", *more, what="purify")) == 0
    assert main(options(dataset, out, what="purify-chain")) == 0
    assert "Run 3 of 3" in capsys.readouterr().out
    wanted, found = (load_file(folder / "model.safetensors") for folder in (apart, out))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    record = json.loads((out / "history.json").read_text())
    assert "--train purify-chain" in record["command"]
    assert record["before"]["recipe"]["seed"] == 1


@pytest.mark.slow
def test_a_chain_goes_on_with_the_run_that_was_stopped(
    dataset, tmp_path, tiny_weights, short_chain, monkeypatch, capsys
):
    out, runs = tmp_path / "p", []
    real = chain.train

    def stopped_in_the_second(args, *rest):
        runs.append(args.out.name)
        if runs == ["p-1", "p-2"]:
            args.stop_after = 1e-9
        return real(args, *rest)

    monkeypatch.setattr(chain, "train", stopped_in_the_second)
    assert main(options(dataset, out, what="purify-chain")) == 0
    assert runs == ["p-1", "p-2"]
    assert "--resume goes on from it" in capsys.readouterr().out
    assert not out.exists()
    assert main(options(dataset, out, "--resume", what="purify-chain")) == 0
    assert runs == ["p-1", "p-2", "p-2", "p"]
    assert "Run 1 of 3 is there" in capsys.readouterr().out
    ComDefend.from_pretrained(out)


@pytest.mark.slow
def test_a_chain_anew_takes_nothing_of_an_earlier_one(
    dataset, tmp_path, tiny_weights, short_chain, monkeypatch, capsys
):
    out, runs, real = tmp_path / "p", [], chain.train

    def stopped_in_the_first(args, *rest):
        runs.append(args.out.name)
        if len(runs) == 1:
            args.stop_after = 1e-9
        return real(args, *rest)

    assert main(options(dataset, out, what="purify-chain")) == 0
    monkeypatch.setattr(chain, "train", stopped_in_the_first)
    assert main(options(dataset, out, what="purify-chain")) == 0
    assert runs == ["p-1"]
    ComDefend.from_pretrained(tmp_path / "runs" / "p-1.old")  # nothing is lost
    capsys.readouterr()
    assert main(options(dataset, out, "--resume", "--force", what="purify-chain")) == 0
    assert runs == ["p-1", "p-1", "p-2", "p"]
    assert "is there" not in capsys.readouterr().out


@pytest.mark.parametrize("given", [("--epochs", "3"), ("--lr", "1"), ("--seed", "0"), ("--guide-noise", "0")])
def test_what_a_chain_fixes_cannot_be_chosen(dataset, tmp_path, given, capsys):
    assert main(options(dataset, tmp_path / "p", *given, what="purify-chain")) == 1
    assert f"{given[0]} is fixed by purify-chain" in capsys.readouterr().err


def test_every_run_of_a_chain_can_be_chosen_and_starts_from_one_before_it():
    for each in chains.CHAINS.values():
        names = [f"runs/{n}" for n in range(1, len(each.links))]
        for number, link in enumerate(each.links, 1):
            assert all(start < number for start in link.starts)
            settings = each.task.chosen(**chains.options(each, number, names)["settings"])
            wanted = [names[start - 1] for start in link.starts]
            default = each.task.settings.start
            several = isinstance(default, tuple)  # whose mean it begins with
            assert settings.start == ((tuple(wanted) if several else "".join(wanted)) or default)


def test_the_result_of_a_chain_has_its_models_folder():
    assert {chain.name: chain.folder for chain in chains.CHAINS.values()} == {
        "purify-chain": "comdefend-cifar10-purify",
        "resnet50-chain": "cifar10-resnet50",
    }
