import pytest
import torch

from model.data import load_split
from model.recipes import TASKS, ClassifierTask, CodecTask, learning_rate_factor, stage_at


def test_learning_rate_warms_up_and_ends_at_zero():
    factors = [learning_rate_factor(p / 1000) for p in range(1000)]
    peak = factors.index(max(factors))
    assert factors[0] == 0
    assert 0.99 < factors[peak] <= 1
    assert peak == 30
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] < 1e-4


def test_stages_cover_the_run():
    for task in TASKS.values():
        assert sum(stage.share for stage in task.stages) == pytest.approx(1)
    assert stage_at(CodecTask.stages, 0).size == 16
    assert stage_at(CodecTask.stages, 0.79).size == 16
    assert stage_at(CodecTask.stages, 0.8).size == 32
    assert stage_at(CodecTask.stages, 0.9999).size == 32


@pytest.mark.parametrize("kind", list(TASKS.values()))
def test_a_step_follows_its_generator(kind, dataset):
    data = load_split(dataset, "train")
    torch.manual_seed(0)
    task = kind(data)
    task.model.eval()  # batch norm would otherwise remember the first step

    def loss(seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return task.step(data.images[:8], data.labels[:8], 0.5, generator).loss.item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_the_classifiers_normalisation_is_the_datas(dataset):
    data = load_split(dataset, "train")
    config = ClassifierTask(data).model.config
    pixels = data.images.float() / 255
    assert config.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert config.std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=1e-4)
    assert config.classes == ("blue", "red")


def test_the_codec_is_scored_with_hard_codes(dataset):
    data = load_split(dataset, "test")
    task = CodecTask(data)
    figures = task.evaluate(task.model.eval(), data)
    x = data.images.float() / 255
    x_hat = task.model.reconstruct(task.model.compress(x))
    wanted = (-10 * (x_hat - x).square().mean((1, 2, 3)).log10()).mean().item()
    assert figures["psnr_db"] == pytest.approx(wanted, abs=1e-3)
