import pytest
import torch
from torch import nn

from model import ComDefend, DefendedClassifier, load_classifier
from model.classifiers import Classifier
from model.config import ClassifierConfig
from model.networks import ARCHITECTURES
from model.zoo import UnknownClassifierError


def test_normalisation_is_inside(classifier, pictures):
    wanted = classifier.net((pictures - 0.5) / 0.25)
    assert torch.equal(classifier(pictures), wanted)
    assert "mean" not in classifier.state_dict()


@pytest.mark.parametrize(
    ("arch", "least", "most", "parameters"),
    [
        ("resnet9", 90e6, 100e6, 1.6e6),
        ("preact-resnet20", 40e6, 42e6, 0.3e6),
        ("preact-resnet18", 550e6, 560e6, 11e6),
        ("wide-resnet28-10", 5.1e9, 5.3e9, 36e6),
        ("resnet50", 1.25e9, 1.35e9, 23.5e6),
    ],
)
def test_multiply_adds_and_parameters_are_those_that_are_told(arch, least, most, parameters):
    model = ARCHITECTURES[arch](10).eval()
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.1)
    count = 0

    def add(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal count
        count += output.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 10)
    assert least < count < most


def test_each_block_of_resnet50_starts_as_its_shortcut():
    x = torch.rand(2, 256, 4, 4)
    assert torch.equal(ARCHITECTURES["resnet50"](10).layer1[1](x), x)


def test_a_defended_classifier_sees_only_the_reconstruction(classifier, codec, pictures):
    defended = DefendedClassifier(classifier, codec)
    assert torch.equal(defended(pictures), classifier(codec.reconstruct(codec.compress(pictures))))
    assert defended.classes == classifier.classes


def test_wrapping_leaves_the_modes_alone(classifier, codec):
    assert not DefendedClassifier(classifier, codec).training
    assert not classifier.training
    assert DefendedClassifier(classifier.train(), codec).training


def test_a_defended_classifier_is_differentiable_end_to_end(classifier, codec, pictures):
    x = pictures.clone().requires_grad_()
    DefendedClassifier(classifier, codec)(x).sum().backward()
    assert x.grad.count_nonzero() == x.numel()


def test_unknown_names_are_refused():
    with pytest.raises(UnknownClassifierError, match=r"'mnist'.*cifar10"):
        load_classifier("mnist")
    with pytest.raises(UnknownClassifierError, match="'vgg'"):
        Classifier(ClassifierConfig("vgg", ("a", "b"), 32, (0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize(
    ("arch", "norms", "left"), [("resnet9", 8, 3), ("preact-resnet20", 19, 10), ("efficientnet-lite1", 64, 0)]
)
def test_freezing_folds_batch_norms_where_that_changes_no_answer(arch, norms, left):
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(arch, tuple("abcdefghij"), 64, (0.5,) * 3, (0.25,) * 3)).train()
    for _ in range(2):
        classifier(torch.rand(8, 3, 64, 64))
    classifier.eval()
    x = torch.rand(2, 3, 64, 64)

    def count() -> int:
        return sum(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())

    before, had = classifier(x), count()
    assert classifier.freeze() is classifier
    assert torch.allclose(classifier(x), before, rtol=1e-4, atol=1e-4)
    assert (had, count()) == (norms, left)


def test_a_frozen_classifier_neither_trains_nor_wants_gradients_nor_is_saved(classifier, pictures, tmp_path):
    wanted = classifier(pictures)
    frozen = classifier.train().freeze()
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    assert torch.allclose(frozen.freeze()(pictures), wanted, atol=1e-5)
    with pytest.raises(TypeError, match="frozen"):
        frozen.save_pretrained(tmp_path / "it")


def test_a_frozen_codec_is_the_same_one_and_can_be_saved(codec, pictures, tmp_path):
    wanted = codec(pictures)
    frozen = codec.train().freeze()
    assert frozen is codec
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())
    frozen.save_pretrained(tmp_path / "it")
    assert torch.allclose(ComDefend.from_pretrained(tmp_path / "it")(pictures), wanted, atol=1e-5)
