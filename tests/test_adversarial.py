"""Adversarial training: the attack, the losses, and what is saved of a codec and a classifier together."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from model import ComDefend, cards, files, recipes
from model.classifiers import Classifier, DefendedClassifier
from model.data import ImageSet, load_split, random_crops, to_float
from model.recipes import AdversarialTask, RobustTask, SettingError
from model.recipes.adversarial import perturbed
from model.train import loop
from model.train import run as run_module
from tests.conftest import left_out, script
from tests.test_train import train_by

main = script().main


@pytest.fixture
def data(dataset) -> ImageSet:
    return load_split(dataset, "train")


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path, tiny_weights):
    monkeypatch.setattr(files, "WORKPLACE", tmp_path)
    monkeypatch.setattr(AdversarialTask, "floor", lambda self: 0.0)
    monkeypatch.setattr(AdversarialTask, "judge", recipes.adversarial.Descent(2, random_start=True))


def options(dataset: Path, out: Path, *more: str, what: str = "robust") -> list[str]:
    return ["--train", what, "--data", str(dataset), "--out", str(out), "--batch-size", "8",
            "--device", "cpu", "--held-out", "8", *more]  # fmt: skip


class Light:
    """The goal of pictures that are as bright as can be, of a system that answers with their brightness."""

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 0]

    def reached(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(logits), dtype=torch.bool)

    def of(self, which: torch.Tensor) -> "Light":
        return self


def brightness(x: torch.Tensor) -> torch.Tensor:
    return x.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("steps", "width", "step_size", "ball"), [(1, 2, 1, 3), (2, 1, 0.625, 1), (10, 1, 0.25, 1)]
)
def test_perturbed_pictures_ascend_the_loss_within_reach(pictures, steps, width, step_size, ball):
    generator, radius = torch.Generator().manual_seed(0), 8 / 255
    found = perturbed(brightness, Light(), pictures, 8, steps, generator)
    # The gradient is one everywhere: from noise, single steps of the radius, others of a quarter or,
    # where they are few, of as much as takes them across the ball; all up.
    noise = torch.empty_like(pictures).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    wanted = pictures + width * radius * noise
    for _ in range(steps):
        wanted = (wanted + step_size * radius).clamp(pictures - ball * radius, pictures + ball * radius)
        wanted = wanted.clamp(0, 1)
    assert torch.allclose(found, wanted, atol=1e-6)
    if steps == 10:  # enough to come from anywhere in the ball to its border
        assert torch.allclose(found, (pictures + radius).clamp(0, 1), atol=1e-6)


def test_perturbed_pictures_follow_their_generator(pictures):
    a, b, other = (
        perturbed(brightness, Light(), pictures, 8, 1, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, other)


def test_the_attack_moves_no_statistics_and_leaves_no_gradient(data):
    task = AdversarialTask(data, AdversarialTask.chosen(arch="preact-resnet20", steps=2))
    assert task.model.training
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    task.attack(to_float(data.images[:8]), data.labels[:8], torch.Generator().manual_seed(0))
    assert task.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.state_dict().items())
    assert all(parameter.grad is None for parameter in task.model.parameters())
    assert all(parameter.requires_grad for parameter in task.model.parameters())


def test_without_beta_the_loss_is_that_of_adversarial_pictures(data):
    task = AdversarialTask(data, AdversarialTask.chosen(steps=2))
    step = task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0))
    x, adversarial = crops_and_attack(task, data)
    wanted = nn.functional.cross_entropy(task.model(adversarial), data.labels[:8], label_smoothing=0.1)
    assert step.loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert wanted > nn.functional.cross_entropy(task.model(x), data.labels[:8], label_smoothing=0.1)


def crops_and_attack(task: AdversarialTask, data: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = to_float(random_crops(data.images[:8], 32, generator, task.padding))
    return x, task.attack(x, data.labels[:8], generator)


@pytest.mark.parametrize("kind", [AdversarialTask, RobustTask])
def test_trades_pays_for_clean_errors_and_for_what_an_attack_changes(data, kind):
    task = kind(data, kind.chosen(beta=5, matching=2, steps=3))
    step = task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0))
    x, adversarial = crops_and_attack(task, data)
    clean, attacked = task.forward(x), task.forward(adversarial)
    divergence = nn.functional.kl_div(
        attacked.logits.log_softmax(1), clean.logits.softmax(1), reduction="batchmean"
    )
    turned = 1 - nn.functional.cosine_similarity(clean.features, attacked.features).mean()
    wrong = nn.functional.cross_entropy(clean.logits, data.labels[:8], label_smoothing=0.1)
    wanted = wrong + 5 * divergence + 2 * turned
    if kind is RobustTask:
        both = torch.cat((clean.x_hat - x, attacked.x_hat - x))
        wanted = wanted + 0.1 * both.square().mean()
    assert step.loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    noise = torch.empty_like(x).uniform_(-8 / 255, 8 / 255, generator=torch.Generator().manual_seed(1))
    by_noise = nn.functional.kl_div(
        task.forward(x + noise).logits.log_softmax(1), clean.logits.softmax(1), reduction="batchmean"
    )
    assert divergence > by_noise  # the attack finds more than chance does


def test_codec_and_classifier_learn_together_through_hard_codes(data):
    # Of a light codec that has learnt nothing, some layers begin as nothing and have no gradient at first.
    task = RobustTask(data, RobustTask.chosen(codec="comdefend-cifar10"))
    codes = []
    task.codec.rec.register_forward_pre_hook(lambda _, inputs: codes.append(inputs[0].detach()))
    task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0)).loss.backward()
    assert all(set(code.unique().tolist()) <= {0.0, 1.0} for code in codes)
    assert left_out(task.model) == []


def test_a_codec_of_the_papers_loss_gets_a_gradient_as_wide_as_its_logits(data):
    assert RobustTask(data, RobustTask.chosen(codec="comdefend-cifar10")).codec.config.surrogate_width == 80


def test_the_codec_learns_at_a_tenth_of_the_classifiers_rate(data):
    task = RobustTask(data)
    of_classifier, of_codec = task.optimizer(0.2).param_groups
    assert of_codec["lr_scale"] == 0.1
    assert "lr_scale" not in of_classifier
    assert {id(p) for p in of_codec["params"]} == {id(p) for p in task.codec.parameters()}
    assert {id(p) for p in of_classifier["params"]} == {id(p) for p in task.classifier.parameters()}


@pytest.mark.parametrize(
    ("setting", "value", "range_"),
    [
        ("steps", 0, "at least 1"),
        ("epsilon", 0, "above 0 and at most 64"),
        ("epsilon", 65, "above 0 and at most 64"),
        ("decay", 1, "at least 0 and below 1"),
        ("beta", -1, "at least 0"),
        ("matching", -1, "at least 0"),
        ("fidelity", -1, "at least 0"),
        ("held_out", 0, "at least 1"),
    ],
)
def test_impossible_settings_are_refused(setting, value, range_):
    with pytest.raises(SettingError, match=f"{setting} must be {range_}, got {value}"):
        RobustTask.chosen(**{setting: value})


def test_the_record_names_no_architecture_that_had_no_say():
    assert RobustTask.chosen(arch="resnet9").arch == "resnet9"
    assert RobustTask.chosen(arch="resnet9", start="cifar10-adversarial").arch == ""


@pytest.mark.slow
def test_a_start_must_know_the_classes_and_a_network_must_tell_its_features(data):
    settings = RobustTask.chosen(start="cifar10-adversarial")
    with pytest.raises(SettingError, match="other classes"):
        RobustTask(ImageSet(data.images, data.labels, ("a", "b")), settings)
    with pytest.raises(SettingError, match="resnet50 does not tell its features"):
        AdversarialTask(data, AdversarialTask.chosen(arch="resnet50"))
    with pytest.raises(SettingError, match="arch must be one of resnet9"):
        AdversarialTask(data, AdversarialTask.chosen(arch="vgg"))


def test_the_figures_are_those_of_an_adaptive_attacker(data):
    task = RobustTask(data)
    task.model.eval()
    with torch.no_grad():
        figures = task.evaluate(task.model, data)
    clean = (task.model(to_float(data.images)).argmax(1) == data.labels).float().mean().item()
    assert figures["accuracy"] == pytest.approx(clean)
    attacked = recipes.adversarial.pgd(
        task.model, to_float(data.images), data.labels, 8.0, task.judge, torch.Generator().manual_seed(0)
    ).adversarial
    both = [task.model(x).argmax(1) == data.labels for x in (to_float(data.images), attacked)]
    assert figures["robust_accuracy"] == pytest.approx((both[0] & both[1]).float().mean().item())
    assert figures["robust_accuracy_low"] < figures["robust_accuracy"] < figures["robust_accuracy_high"]


@pytest.mark.slow
def test_the_pair_is_saved_in_two_folders_that_load(dataset, tmp_path):
    out = tmp_path / "pair"
    assert main(options(dataset, out, "--epochs", "2")) == 0
    codec, classifier = out / "comdefend-cifar10-robust", out / "cifar10-robust"
    pair = DefendedClassifier(Classifier.from_pretrained(classifier), ComDefend.from_pretrained(codec))
    records = [json.loads((folder / "history.json").read_text()) for folder in (codec, classifier)]
    assert records[0]["test"] == records[1]["test"]
    assert records[0]["parameters"] != records[1]["parameters"]
    assert sum(record["parameters"] for record in records) == sum(p.numel() for p in pair.parameters())
    for folder in (codec, classifier):
        card = (folder / "README.md").read_text()
        assert "Accuracy under PGD, 20 steps, by an attacker who knows all (adaptive)" in card
        assert "stood best against PGD on 8 training pictures held out" in card
        assert cards.CAUTIONS["classifier"] not in card
        assert "not stopped by it" not in card


@pytest.mark.slow
def test_without_a_place_the_pair_goes_to_the_folders_of_its_names(dataset, tmp_path):
    found = options(dataset, tmp_path, "--epochs", "1")
    place = found.index("--out")
    assert main(found[:place] + found[place + 2 :]) == 0
    assert {folder.name for folder in (tmp_path / "weights").iterdir()} == {
        "comdefend-cifar10-robust",
        "cifar10-robust",
    }
    assert (tmp_path / "runs" / "comdefend-cifar10-robust" / "checkpoint.safetensors").is_file()


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_survives_an_interruption(dataset, tmp_path, monkeypatch):
    """Held-out scores of 0.6, 0.9, 0.7, ...: the second epoch's averaged weights are the result."""
    scores, scored, now = iter((0.6, 0.9, 0.7, 0.8)), [], 0.0
    evaluate = run_module.evaluate

    def scripted(task, model, pictures):
        if len(pictures) != 8:
            return evaluate(task, model, pictures)
        scored.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"accuracy": 1.0, "robust_accuracy": next(scores)}

    monkeypatch.setattr(run_module, "evaluate", scripted)
    step = loop.train_step

    def slow_step(run, *args):
        nonlocal now
        if run.step == 9:  # in the third epoch of three steps
            now = 3601.0
        return step(run, *args)

    out = tmp_path / "a"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", slow_step)
        length = ("--epochs", "4", "--stop-after", "60")
        given = options(dataset, out, *length, what="adversarial")
        assert train_by(lambda: now, given) == 0
    assert now == 3601
    assert not out.exists()
    assert main(options(dataset, out, "--resume", what="adversarial")) == 0
    assert len(scored) == 4
    kept = load_file(out / "model.safetensors")
    assert all(torch.equal(tensor, scored[1][name]) for name, tensor in kept.items())
    assert not torch.equal(kept["net.0.weight"], scored[3]["net.0.weight"])


@pytest.mark.slow
def test_pictures_that_are_held_out_are_not_trained_on(dataset, tmp_path, monkeypatch):
    trained = []
    step = loop.train_step

    def noting_step(run, data, indices, *args):
        trained.append(data.images[indices])
        return step(run, data, indices, *args)

    monkeypatch.setattr(loop, "train_step", noting_step)
    assert main(options(dataset, tmp_path / "a", "--epochs", "2", what="adversarial")) == 0
    _, held_out = load_split(dataset, "train").split_off(8)
    pictures = {picture.numpy().tobytes() for batch in trained for picture in batch}
    assert not pictures & {picture.numpy().tobytes() for picture in held_out.images}
    assert len(pictures) == 24


def test_too_many_held_out_are_one_sentence(dataset, tmp_path, capsys):
    assert main(options(dataset, tmp_path / "a", "--held-out", "32")) == 1
    assert "32 of 32 training pictures cannot be held out" in capsys.readouterr().err


@pytest.mark.slow
def test_compiled_the_loss_is_the_same(data):
    task = RobustTask(data, RobustTask.chosen(beta=1, steps=2))

    def loss() -> float:
        return task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0)).loss.item()

    plain = loss()
    task.compile()
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    assert loss() == pytest.approx(plain, rel=1e-4)
    assert graphs["unique_graphs"] > before
