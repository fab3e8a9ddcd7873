import json
from dataclasses import asdict, replace

import pytest
import torch

from model.evaluate.record import Distances, UnboundedRecord
from model.evaluate.report import figures
from model.evaluate.systems import PAIRS
from model.metrics import paired_interval, wilson_interval
from tests.conftest import clean, kept, noise, record

((PAIR, TWIN),) = PAIRS.items()
SCOPES = {"all": torch.arange(8), "adaptive": torch.tensor([0, 2, 4, 6]), "few": torch.tensor([0, 4])}


RECORDS = [
    clean("none", "11111110"),
    clean("bits-5", "11111100"),
    record("none", "FGSM", "10000000", steps=None, threat_model="white-box"),
    record("bits-5", "FGSM", "11110000", steps=None),
    record("none", "PGD", "00000000", threat_model="white-box"),
    record("bits-5", "PGD", "01100000"),
    record("none", "PGD", "11000000", epsilon=2.0, threat_model="white-box"),
    record("bits-5", "PGD", "11100000", epsilon=2.0),
    record(
        "bits-5", "FGSM", "1010", steps=None, scope="adaptive", threat_model="adaptive", gradient="identity"
    ),
    record(
        "bits-5",
        "PGD",
        "0010",
        scope="adaptive",
        threat_model="adaptive",
        no_gradient=0.25,
        zero_gradient=0.4,
    ),
    record("bits-5", "Square", "10", scope="few", threat_model="black-box", cascade=True),
    kept("bits-5", "clean", "11110000", planes=2),
    kept("bits-5", "FGSM", "11000000", planes=2),
]


@pytest.fixture
def found(systems):
    chosen = [system for system in systems if system.name in ("none", "bits-5")]
    return figures(RECORDS, chosen, SCOPES)


def find(cells: list[dict], **wanted: object) -> dict:
    (cell,) = (c for c in cells if all(c[name] == value for name, value in wanted.items()))
    return cell


def test_there_is_a_cell_for_every_record_but_the_dials(found):
    assert len(found["cells"]) == len(RECORDS) - 2
    for cell, of in zip(found["cells"], RECORDS, strict=False):
        assert cell["defence"] == of.system
        for name in ("attack", "epsilon", "threat_model", "steps", "seconds"):
            assert cell[name] == getattr(of, name)
        assert cell["gradient"] == getattr(of, "gradient", None)
        assert "right" not in cell
    assert found["defences"] == {"none": "no defence", "bits-5": "5 bits a channel"}
    json.dumps(found)


def test_what_was_not_measured_is_not_in_a_cell(systems):
    """Bits are flipped in a codec's code alone, and only our own descents look at their gradient."""
    records = [
        clean("none", "11"),
        noise("none", "11"),
        noise("bits-5", "10", bits_flipped=0.25),
        record("bits-5", "PGD", "10", scope="adaptive", threat_model="adaptive", no_gradient=0.0),
    ]
    cells = figures(records, systems[:1], SCOPES)["cells"]
    measured = [{"bits_flipped", "no_gradient", "zero_gradient"} & set(cell) for cell in cells]
    assert measured == [set(), set(), {"bits_flipped"}, {"no_gradient"}]
    assert (cells[2]["bits_flipped"], cells[3]["no_gradient"]) == (0.25, 0.0)


def test_an_attack_without_a_strength_says_how_far_it_had_to_go(systems):
    before = Distances(success=1.0, median_l2=0.5, median_linf_255=3.0)
    values = asdict(record("none", "DeepFool", "10", scope="few", threat_model="white-box"))
    unbounded = UnboundedRecord(**values, before_rounding=before, rounded=replace(before, median_l2=0.75))
    (cell,) = figures([unbounded], systems[:1], SCOPES)["cells"]
    assert cell["success_before_rounding"] == cell["success_rounded"] == 1.0
    assert (cell["median_l2_before_rounding"], cell["median_l2_rounded"]) == (0.5, 0.75)
    assert cell["median_linf_255_before_rounding"] == cell["median_linf_255_rounded"] == 3.0


def test_accuracy_comes_with_wilsons_interval(found):
    for cell, of in zip(found["cells"], RECORDS, strict=False):
        count, right = len(of.right), of.right.count("1")
        assert cell["images"] == count
        assert cell["accuracy"] == right / count
        assert cell["interval"] == pytest.approx(wilson_interval(right, count), abs=1e-4)


def test_the_difference_to_none_is_paired(found):
    fgsm = find(found["cells"], defence="bits-5", attack="FGSM", threat_model="grey-box")
    # 11110000 against 10000000: three right for the defence alone, none for the other alone.
    assert fgsm["difference"] == 3 / 8
    assert fgsm["difference_interval"] == pytest.approx(paired_interval(3, 0, 8), abs=1e-4)
    plain = find(found["cells"], defence="bits-5", attack="clean")
    assert plain["difference"] == -1 / 8
    assert plain["difference_interval"] == pytest.approx(paired_interval(0, 1, 8), abs=1e-4)
    weak = find(found["cells"], defence="bits-5", attack="PGD", epsilon=2.0)
    assert weak["difference"] == 1 / 8


def test_there_is_no_difference_where_other_pictures_were_seen(found):
    for cell in found["cells"]:
        apart = cell["defence"] == "none" or cell["threat_model"] == "adaptive" or cell["cascade"]
        assert ("difference" in cell) != apart


def test_pictures_made_against_another_classifier_are_others(systems):
    own = "none@another"
    records = [
        *(record("none", name, "10000000", threat_model=who) for name, who in (
            ("BIM", "white-box"), ("transfer", "black-box"),
        )),
        *(record(own, name, "11110000", threat_model=who) for name, who in (
            ("BIM", "white-box"), ("transfer", "black-box"),
        )),
    ]  # fmt: skip
    chosen = [systems[0], replace(systems[0], name=own, own_classifier=True)]
    cells = figures(records, chosen, SCOPES)["cells"]
    with_difference = [(c["defence"], c["attack"]) for c in cells if "difference" in c]
    assert with_difference == [(own, "transfer")]


def test_without_the_yardstick_there_are_no_differences(systems):
    records = [r for r in RECORDS if r.system != "none"]
    found = figures(records, systems[2:3], SCOPES)
    assert not any("difference" in cell for cell in found["cells"])
    assert list(found["defences"]) == ["bits-5"]


def test_the_worst_case_is_over_all_attacks_of_a_strength(found):
    worst = find(found["worst"], defence="bits-5", epsilon=8.0)
    # Pictures 0, 2, 4, 6: clean 1110, FGSM 1100 and 1010, PGD 0100 and 0010, Square 1 of 0 and 0 of 4.
    assert worst["accuracy"] == 0
    assert worst["images"] == 4
    assert worst["interval"] == pytest.approx(wilson_interval(0, 4), abs=1e-4)
    undefended = find(found["worst"], defence="none", epsilon=2.0)
    assert undefended["accuracy"] == 1 / 4  # 110000... at 0, 2, 4, 6
    assert not [w for w in found["worst"] if w["defence"] == "bits-5" and w["epsilon"] == 2.0]


def test_the_robust_pair_is_compared_with_its_twin_on_the_same_pictures(systems):
    pair, twin = (replace(systems[0], name=name) for name in (PAIR, TWIN))
    records = [
        clean(PAIR, "11111111"),
        clean(TWIN, "11111111"),
        record(PAIR, "PGD", "1110", scope="adaptive", threat_model="adaptive"),
        record(PAIR, "FGSM", "11111111", steps=None),
        record(TWIN, "FGSM", "10101111", steps=None, threat_model="white-box"),
        record(TWIN, "PGD", "1000", scope="adaptive", threat_model="white-box"),
    ]
    (found,) = figures(records, [pair, twin], SCOPES)["twins"]
    assert (found["defence"], found["twin"], found["epsilon"]) == (PAIR, TWIN, 8.0)
    assert found["difference"] == 0.5  # 3 of 4 against 1 of 4
    assert found["difference_interval"] == pytest.approx(paired_interval(2, 0, 4), abs=1e-4)
    assert figures(records[:1], [pair], SCOPES)["twins"] == []
    without = [r for r in records if r.threat_model != "adaptive"]  # stopped before the pair was attacked
    assert figures(without, [pair, twin], SCOPES)["twins"] == []


def test_systems_without_an_adaptive_attacker_have_no_checks(found):
    assert list(found["checks"]) == ["bits-5"]
    verdicts = {check["name"]: check["passed"] for check in found["checks"]["bits-5"]}
    assert verdicts["gradients do not vanish"] is False
    assert verdicts["iterating beats a single step"] is True
    assert verdicts["nothing survives a large strength"] is None


def test_the_dial_has_figures_of_its_own(found):
    assert [(d["planes"], d["attack"], d["accuracy"]) for d in found["dial"]] == [
        (2, "clean", 0.5),
        (2, "FGSM", 0.25),
    ]
    assert found["dial"][0]["interval"] == pytest.approx(wilson_interval(4, 8), abs=1e-4)


def test_a_run_that_was_stopped_at_once_has_figures(systems):
    for records in ([], RECORDS[:1], RECORDS[:3]):
        found = figures(records, systems, SCOPES)
        assert len(found["cells"]) == len(records)
        assert found["checks"] == {}
        json.dumps(found)
