import pytest
import torch

from model.evaluate.record import to_bits, worst_case
from tests.conftest import clean, kept, noise, record

SCOPES = {"all": torch.arange(6), "adaptive": torch.tensor([0, 2, 3, 5]), "few": torch.tensor([2, 5])}


def test_a_picture_survives_if_it_survives_every_attack_of_a_strength():
    records = [
        clean("a", "111110"),
        record("a", "FGSM", "101111"),
        record("a", "PGD", "1101", scope="adaptive", threat_model="adaptive"),
        record("a", "Square", "01", scope="few", threat_model="black-box", cascade=True),
    ]
    # 5 is wrong at once, FGSM fools 1, PGD fools 3 (its third), Square fools 2 (its first).
    assert worst_case(records, "a", 8.0, SCOPES).tolist() == [True, False, False, False, True, False]
    assert worst_case(records[:3], "a", 8.0, SCOPES).tolist() == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    "other",
    [
        noise("a", "000000"),
        record("a", "PGD", "000000", epsilon=16.0),
        record("a", "DeepFool", "000000", epsilon=None),
        record("b", "PGD", "000000"),
        kept("a", "PGD", "000000", planes=3),
        kept("a", "clean", "000000", planes=3),
    ],
)
def test_other_records_are_nothing_to_the_worst_case(other):
    records = [clean("a", "111110"), record("a", "FGSM", "011111")]
    wanted = [False, True, True, True, True, False]
    assert worst_case([other, *records], "a", 8.0, SCOPES).tolist() == wanted
    assert worst_case([*records, other], "a", 8.0, SCOPES).tolist() == wanted


def test_what_falls_at_a_strength_has_fallen_at_greater_ones():
    records = [clean("a", "111110"), record("a", "PGD", "011111", epsilon=2.0)]
    standing = {epsilon: worst_case(records, "a", epsilon, SCOPES).tolist() for epsilon in (1.0, 2.0, 8.0)}
    assert standing[1.0] == [True, True, True, True, True, False]
    assert standing[2.0] == standing[8.0] == [False, True, True, True, True, False]


def test_bits_are_pictures():
    found = record("a", "PGD", "1011", scope="adaptive")
    assert found.correct.tolist() == [True, False, True, True]
    assert to_bits(found.correct) == "1011"
    assert found.spread(SCOPES).tolist() == [True, False, False, True, False, True]
