"""What a run came to."""

import math

import pytest
import torch

from app.measure import judge, packed, predictions
from app.scenario import VIEWS, Scenario
from model.ops import unpack


@pytest.mark.parametrize(
    ("threat_model", "target", "labels", "succeeded", "held", "changed"),
    [
        ("grey-box", None, "cat dog cat cat", True, True, False),
        ("grey-box", None, "cat cat dog dog", False, False, True),
        ("grey-box", "dog", "cat deer cat cat", False, True, False),
        ("grey-box", "dog", "cat dog cat dog", True, False, False),
        ("adaptive", None, "cat dog cat cat", False, True, False),
        ("adaptive", None, "cat cat cat dog", True, False, False),
        ("adaptive", None, "cat cat dog cat", True, True, True),
        ("adaptive", "deer", "cat cat cat dog", False, False, False),
    ],
)
def test_a_verdict_is_on_the_system_that_was_attacked(threat_model, target, labels, succeeded, held, changed):
    """The labels are those of the original, of the adversarial picture, and of their reconstructions."""
    scenario = Scenario(threat_model=threat_model, target=target)
    assert judge(scenario, dict(zip(VIEWS, labels.split(), strict=True))) == {
        "attack_succeeded": succeeded,
        "defence_held": held,
        "codec_changed_label": changed,
    }


def test_predictions_are_the_most_probable_classes(classifier):
    first, second = predictions(classifier, torch.tensor([[0.0, 1, 2, -1], [9, 0, 0, 0]]))
    assert [label for label, _ in first.top] == ["square", "cross", "circle", "star"]
    total = 1 + math.e + math.e**2 + 1 / math.e
    assert first.confidence == pytest.approx(math.e**2 / total, abs=1e-5)
    assert (first.label, second.label) == ("square", "circle")


@pytest.mark.parametrize(("sides", "size"), [((8, 12), None), ((7, 11), (7, 11))])
def test_a_packed_code_says_the_size_of_a_picture_only_where_it_does_not_show(sides, size):
    planes = (8, 12) if size is None else (2, 3)
    code = torch.randint(0, 2, (1, 4, *planes), generator=torch.Generator().manual_seed(0))
    found = unpack(packed(code.byte(), torch.zeros(1, 3, *sides)))
    assert torch.equal(found.code.long(), code[0])
    assert found.size == size
