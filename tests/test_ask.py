"""The questions that take longer than a run, without the page."""

import threading
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from app.ask import defences, planes
from app.ask.breaking import FURTHEST, QUESTIONS, Bracket, Breaking, Question, bracket, until_it_breaks
from app.ask.bundle import ARCHIVE, fifty_pictures
from app.ask.defences import Survey, bits_per_pixel, find_row, line_up, survey
from app.ask.fifty import LINES, STRENGTHS, Count, Curves, robust_accuracy
from app.ask.planes import Carried, carried, chosen_planes, without
from app.events import Progress
from app.images import encode, to_picture
from app.lab import Lab
from app.scenario import Prediction, ScenarioError, Watch
from app.turns import Turns
from model import ComDefend, DefendedClassifier
from model.attacks import THREAT_MODELS, AttackCancelled, AttackError, attack
from model.classifiers import Classifier
from model.config import ClassifierConfig
from model.data import to_float
from model.defences import DEFENCES, BitDepth, Codec, GaussianNoise, Jpeg, Nothing
from model.entries import CodecEntry
from model.metrics import wilson_interval
from model.ops import keep_planes
from tests.conftest import ASKED, TINY_LIGHT

CIFAR = fifty_pictures().classes


@pytest.fixture
def cifar_lab(lab, classifier) -> Lab:
    """A lab whose ``cifar10`` is an untrained classifier of the ten classes, in another order."""
    torch.manual_seed(3)
    config = ClassifierConfig("tiny", CIFAR[::-1], 32, (0.5,) * 3, (0.25,) * 3)
    lab._classifiers["cifar10"] = Classifier(config).eval().requires_grad_(False)
    return lab


def results(events) -> list:
    return [event for event in events if not isinstance(event, Progress)]


def says(label: str) -> Prediction:
    return Prediction(label, 1.0, [(label, 1.0)])


# Until it breaks


@pytest.mark.parametrize(
    ("tried", "found"),
    [
        ({}, Bracket(0, None)),
        ({0: False, 32: True}, Bracket(0, 32)),
        ({0: False, 32: False}, Bracket(32, None)),
        ({0: False, 32: True, 16: False, 24: True}, Bracket(16, 24)),
        ({0: False, 32: False, 4: True}, Bracket(0, 4)),  # what was seen to break counts
        ({0: False, 32: True, 2: True, 16: False}, Bracket(0, 2)),
        ({0: True, 32: False}, Bracket(-1, 0)),
    ],
)
def test_a_bracket_is_made_of_what_was_tried(tried, found):
    assert bracket(tried) == found


@pytest.mark.parametrize(
    ("borders", "wanted"),
    [
        ((1, 9, 5, 2), (1, 9, 5, 2)),
        ((32, 31, 17, 16), (32, 31, 17, 16)),
        ((3, 99, 99, 99), (3, None, None, None)),
        ((3, 0, 4, 0), (3, 0, 4, 0)),  # the codec changes the label by itself
    ],
)
def test_bisection_finds_the_borders(monkeypatch, borders, wanted):
    asked: list[tuple[str, float]] = []
    border = dict(zip(QUESTIONS, borders, strict=True))

    def run(lab, picture, scenario, watch):
        asked.append((scenario.threat_model, scenario.epsilon))

        def label(system: str, strength: float) -> Prediction:
            return says("dog" if strength >= border[scenario.threat_model, system] else "cat")

        return SimpleNamespace(
            scenario=scenario,
            predictions={
                "original": says("cat"),
                "adversarial": label("classifier", scenario.epsilon),
                "defended_original": label("comdefend", 0),
                "defended_adversarial": label("comdefend", scenario.epsilon),
            },
        )

    monkeypatch.setattr(Lab, "run", run)
    events = list(until_it_breaks(Lab("cpu"), None, ASKED, Watch()))
    *partial, last = results(events)
    assert tuple(last.brackets[question].broke for question in QUESTIONS) == wanted
    assert last.done
    assert last.label == "cat"
    assert not any(found.done for found in partial)
    shares = [event.share for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)
    assert 0 == shares[0] <= shares[-1] < 1
    assert len(set(asked)) == len(asked) <= 22  # nothing is tried twice
    assert all(1 <= strength <= FURTHEST for _, strength in asked)


def test_with_a_target_broken_means_that_it_is_reached(monkeypatch):
    def run(lab, picture, scenario, watch):
        label = "dog" if scenario.epsilon < 6 else "frog"
        return SimpleNamespace(
            scenario=scenario,
            predictions={
                "original": says("cat"),
                "adversarial": says(label),
                "defended_original": says("dog"),
                "defended_adversarial": says(label),
            },
        )

    monkeypatch.setattr(Lab, "run", run)
    last = list(until_it_breaks(Lab("cpu"), None, replace(ASKED, target="frog"), Watch()))[-1]
    assert {found.broke for found in last.brackets.values()} == {6}


def test_what_is_found_breaks_and_the_next_smaller_one_does_not(lab, picture):
    last: Breaking = list(until_it_breaks(lab, picture, ASKED, Watch()))[-1]
    own = lab.run(picture, ASKED).predictions["original"].label
    assert last.label == own
    found = [it for it in QUESTIONS if last.brackets[it].broke]
    assert Question("grey-box", "classifier") in found
    for question in found:
        broke = last.brackets[question].broke
        view = "adversarial" if question.system == "classifier" else "defended_adversarial"
        for strength in range(max(1, broke - 1), broke + 1):
            run = lab.run(picture, replace(ASKED, threat_model=question.threat_model, epsilon=strength))
            assert (run.predictions[view].label != own) is (strength == broke)


@pytest.mark.parametrize("ask", [until_it_breaks, lambda lab, _, *rest: robust_accuracy(lab, *rest)])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attack": "DeepFool", "epsilon": None}, "DeepFool has no strength"),
        ({"attack": "magic"}, "unknown attack"),
        ({"steps": 10**6}, "from 1 to 200"),
        ({"classifier": "mnist"}, "unknown classifier"),
        ({"codec": "zip"}, "unknown codec"),
        ({"planes": 13}, "1 to 12 planes"),
    ],
)
def test_impossible_questions_are_refused(lab, picture, ask, wrong, message):
    with pytest.raises(ValueError, match=message):
        list(ask(lab, picture, replace(ASKED, **wrong), Watch()))


# Turns and stops


def started(name: str, lab: Lab, picture: Image.Image, watch: Watch):
    outcome = lab.run(picture, replace(ASKED, epsilon=8))
    return {
        "breaking": lambda: until_it_breaks(lab, picture, ASKED, watch),
        "defences": lambda: survey(lab, outcome, watch),
        "planes": lambda: carried(lab, outcome, watch),
    }[name]()


@pytest.mark.parametrize("name", ["breaking", "defences", "planes"])
def test_others_have_their_turn_while_a_question_goes_on(lab, picture, name):
    going = started(name, lab, picture, Watch())
    assert isinstance(next(going), Progress)
    next(going)
    assert lab.turns.idle  # between its steps it holds nothing
    others = threading.Thread(target=lab.run, args=(picture, replace(ASKED, epsilon=8)))
    others.start()
    others.join(30)
    assert not others.is_alive()
    assert results(going)


@pytest.mark.parametrize("name", ["breaking", "defences", "planes"])
def test_a_stop_ends_a_question_and_leaves_the_lab_usable(lab, picture, name):
    watch = Watch()
    going = started(name, lab, picture, watch)
    next(going)
    watch.stop()
    with pytest.raises(AttackCancelled):
        list(going)
    assert lab.turns.idle
    assert not any(module._forward_pre_hooks for module in lab.classifier("cifar10").modules())
    assert lab.run(picture, replace(ASKED, epsilon=8)).device == "cpu"


# All defences


def test_each_defence_sees_the_picture_of_the_run(lab, outcome, classifier, codec):
    *_, found = survey(lab, outcome, Watch(), clock=iter(range(100)).__next__)
    rows = {row.name.text: row for row in found.rows}
    assert list(rows)[: len(DEFENCES)] == list(DEFENCES)
    assert [name for name in rows if name.startswith("comdefend-cifar10-purify")] == [
        "comdefend-cifar10-purify:3", "comdefend-cifar10-purify:6", "comdefend-cifar10-purify",
    ]  # fmt: skip
    assert [name for name in rows if name.startswith("comdefend-photo")] == ["comdefend-photo"]
    assert {row.milliseconds for row in found.rows} == {1000}
    bare, own = rows["none"], rows["comdefend-cifar10-purify"]
    assert (bare.clean, bare.attacked) == (
        outcome.predictions["original"], outcome.predictions["adversarial"],
    )  # fmt: skip
    assert (own.clean, own.attacked) == (
        outcome.predictions["defended_original"], outcome.predictions["defended_adversarial"],
    )  # fmt: skip
    assert own.picture.tobytes() == to_picture(outcome.defended_adversarial).tobytes()
    assert found.held(own) is outcome.verdict["defence_held"]
    assert found.harmless(own) is not outcome.verdict["codec_changed_label"]
    cut = rows["comdefend-cifar10-purify:3"]
    rebuilt = codec.reconstruct(codec.compress(outcome.adversarial, 3))
    assert cut.attacked.label == classifier.classes[classifier(rebuilt).argmax()]
    assert cut.bits_per_pixel == 3
    again = results(survey(lab, outcome, Watch()))[-1]  # noise is drawn from the run's seed
    noisy = next(row for row in again.rows if row.name.text == "noise-8")
    assert noisy.attacked == rows["noise-8"].attacked


def test_a_run_of_some_planes_is_in_the_table(lab, picture):
    outcome = lab.run(picture, replace(ASKED, epsilon=8, planes=5))
    names = [name.text for name in line_up(lab, outcome)]
    assert "comdefend-cifar10-purify:5" in names
    assert len(set(names)) == len(names)


def test_the_dial_goes_to_all_planes_of_a_codec_that_is_meant_to_keep_few(lab, outcome, codec):
    codec.config = replace(codec.config, kept=3)
    names = [name for name in line_up(lab, outcome) if name.base == "comdefend-cifar10-purify"]
    assert [(name.text.partition(":")[2], name.planes) for name in names] == [
        ("", None),
        ("6", 6),
        ("12", 12),
    ]


def test_a_codec_that_looks_at_the_noise_is_asked_so_and_at_each_position_of_the_dial(lab, outcome, codec):
    codec.config = replace(codec.config, kept=((0, 12), (1, 3)))
    names = [name for name in line_up(lab, outcome) if name.base == "comdefend-cifar10-purify"]
    assert [name.planes for name in names] == [3, 6, 12, None]
    assert names[-1].text == "comdefend-cifar10-purify"
    defence = Codec(codec)
    smooth = torch.full((1, 3, 16, 16), 0.5)
    assert bits_per_pixel(defence, smooth) == 12
    assert bits_per_pixel(defence, smooth + torch.randn(1, 3, 16, 16).clamp(-3, 3) / 25) == 3


def test_a_codec_of_a_pair_stands_before_its_own_classifier_only(lab, outcome, monkeypatch):
    monkeypatch.setitem(
        defences.CODECS, "robust", CodecEntry("robust", "of a pair", partner="cifar10-robust")
    )
    lab._codecs["robust"] = lab.codec("comdefend-cifar10")
    assert "robust" not in [name.base for name in line_up(lab, outcome)]
    paired = replace(outcome, scenario=replace(outcome.scenario, classifier="cifar10-robust"))
    assert "robust" in [name.base for name in line_up(lab, paired)]


def test_bits_are_those_that_come_through(codec, pictures):
    x = pictures[:1]
    assert bits_per_pixel(Nothing(), x) == 24
    assert bits_per_pixel(BitDepth(3), x) == 9
    assert bits_per_pixel(GaussianNoise(0.1), x) is None
    file = encode(to_picture(x), "JPEG", quality=50)
    assert bits_per_pixel(Jpeg(50), x) == 8 * len(file) / 256
    assert bits_per_pixel(Codec(codec, 4), x) == 4
    light = ComDefend(TINY_LIGHT)
    odd = torch.rand(1, 3, 18, 16)
    assert bits_per_pixel(Codec(light), odd) == light.compress(odd).numel() / (18 * 16)


@pytest.mark.parametrize("number", [-1, 99, 10**9])
def test_a_line_that_is_not_there_is_refused(outcome, number):
    for found in (None, Survey(outcome, ())):
        with pytest.raises(ScenarioError, match="no such line"):
            find_row(found, number)


# Fifty pictures


def test_fifty_pictures_are_five_of_each_class_in_rounds():
    pictures = fifty_pictures()
    assert pictures.images.shape == (50, 3, 32, 32)
    assert len(pictures.classes) == 10
    assert all(set(labels.tolist()) == set(range(10)) for labels in pictures.labels.split(10))
    assert ARCHIVE.stat().st_size < 200_000
    with zipfile.ZipFile(ARCHIVE) as archive:
        name = "cat/" + sorted(it for it in archive.namelist() if it.startswith("cat/"))[1].split("/")[1]
        with archive.open(name) as file:
            wanted = np.array(Image.open(file).convert("RGB"))
    place = 10 + pictures.classes.index("cat")  # the second round
    assert np.array_equal(pictures.images[place].permute(1, 2, 0).numpy(), wanted)
    assert (ARCHIVE.parent / "SOURCES.md").is_file()


def test_what_is_counted_is_what_is_classified_rightly(cifar_lab, codec):
    classifier, pictures = cifar_lab.classifier("cifar10"), fifty_pictures()
    events = list(robust_accuracy(cifar_lab, replace(ASKED, attack="FGSM", steps=None, seed=4), Watch()))
    shares = [event.share for event in events if isinstance(event, Progress)]
    assert shares == sorted(shares)
    assert len(shares) == 5 * len(STRENGTHS)
    first, last = results(events)[0], results(events)[-1]
    assert {key: count.of for key, count in first.counts.items()} == {
        (line, strength): 10 for line in LINES for strength in (0, STRENGTHS[0])
    }
    assert all(count.of == 50 for count in last.counts.values())
    assert len(last.counts) == len(LINES) * (1 + len(STRENGTHS))

    x = to_float(pictures.images)
    y = torch.tensor([CIFAR[::-1].index(CIFAR[label]) for label in pictures.labels])
    system = DefendedClassifier(classifier, codec)
    assert last.counts["none", 0].right == int((classifier(x).argmax(1) == y).sum()) > 0
    assert last.counts["adaptive", 0].right == int((system(x).argmax(1) == y).sum())
    found = attack("FGSM", classifier, x, y, epsilon=8)
    assert last.counts["none", 8].right == int((classifier(found).argmax(1) == y).sum())
    assert last.counts["grey-box", 8].right == int((system(found).argmax(1) == y).sum())
    before = system(x).argmax(1) == y
    found = attack("FGSM", system, x, y, epsilon=8)
    assert last.counts["adaptive", 8].right == int((before & (system(found).argmax(1) == y)).sum())
    assert [strength for strength, _ in last.line("adaptive")] == [0, *STRENGTHS]


def test_a_classifier_of_other_classes_is_refused(lab):
    with pytest.raises(ScenarioError, match=r"show airplane, .* choose a classifier of CIFAR-10"):
        next(robust_accuracy(lab, ASKED, Watch()))


def test_the_fifty_can_be_stopped(cifar_lab, picture):
    watch = Watch()
    going = robust_accuracy(cifar_lab, ASKED, watch)
    next(going)
    assert isinstance(next(going), Curves)
    assert cifar_lab.turns.idle
    watch.stop()
    with pytest.raises(AttackCancelled):
        list(going)
    assert cifar_lab.turns.idle


def test_a_count_has_wilsons_interval():
    count = Count(3, 8).plus(torch.tensor([True, False]))
    assert count == Count(4, 10)
    assert count.share == 0.4
    assert count.interval == wilson_interval(4, 10)


# Planes


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_with_all_planes_on_it_is_the_run_itself(lab, picture, threat_model):
    outcome = lab.run(picture, replace(ASKED, epsilon=8, threat_model=threat_model, planes=7))
    found = without(lab, outcome, (), Watch())
    assert torch.equal(found.adversarial, outcome.defended_adversarial)
    assert torch.equal(found.original, outcome.defended_original)
    assert found.says_adversarial == outcome.predictions["defended_adversarial"]
    assert found.says_original == outcome.predictions["defended_original"]
    assert found.psnr_db is None


def test_a_plane_that_is_off_is_zero(lab, outcome, codec):
    last = without(lab, outcome, (11, 10), Watch())
    assert last.off == (10, 11)
    assert torch.equal(last.adversarial, codec.reconstruct(keep_planes(outcome.code_adversarial, 10)))
    code = outcome.code_original.clone()
    code[:, 4] = 0
    assert torch.equal(without(lab, outcome, (4,), Watch()).original, codec.reconstruct(code))


def test_what_a_plane_carries_is_what_is_missing_without_it(lab, picture):
    torch.manual_seed(0)
    light = ComDefend(replace(TINY_LIGHT, com_widths=(16, 16, 16, 19))).eval().requires_grad_(False)
    lab._codecs["comdefend-cifar10-purify"] = light
    outcome = lab.run(picture, replace(ASKED, epsilon=8, planes=13))
    *_, found = carried(lab, outcome, Watch())
    assert len(found.changes) == len(found.labels) == 13
    for number in (0, 8, 12):
        one = without(lab, outcome, (number,), Watch())
        moved = (one.adversarial - outcome.defended_adversarial).square().mean().sqrt().item()
        assert found.changes[number] == pytest.approx(255 * moved, rel=1e-3)
        assert found.labels[number] == one.says_adversarial.label
    assert max(found.changes) > 0
    assert isinstance(found, Carried)
    assert planes.TOGETHER[4] < 13  # it took more than one step


@pytest.mark.parametrize(
    "value",
    [None, 3, "3", {"0": 1}, [12], [-1], [1.5], ["1"], [None], [True], [[1]], [float("nan")], [10**30],
     list(range(13)), [0] * 10**6],
)  # fmt: skip
def test_what_are_no_planes_is_refused(value):
    with pytest.raises((ScenarioError, AttackError)):
        chosen_planes(value, 12)


def test_planes_are_chosen_once_each():
    assert chosen_planes([3, 1, 3.0], 12) == (1, 3)
    assert chosen_planes([], 12) == ()


def test_a_step_that_finds_no_place_says_when_to_come_back(lab, outcome):
    lab.turns = Turns(limit=0)
    with lab.turns.turn(), pytest.raises(ScenarioError, match="The machine is busy"):
        without(lab, outcome, (), Watch())
    assert lab.turns.idle


def test_a_step_lets_another_lane_go_first(lab, outcome, monkeypatch):
    monkeypatch.setattr("app.turns.SLICE_SECONDS", 0.0)
    done = threading.Event()

    def other() -> None:
        with lab.turns.turn(lane="another"):
            done.set()

    thread, watch, classifier = threading.Thread(target=other), Watch(), lab.classifier("cifar10")
    with lab.step(classifier, watch, outcome.original):
        thread.start()
        while not lab.turns.waiting:
            pass
        for _ in range(10_000):
            if done.is_set():
                break
            classifier(outcome.original)
    thread.join(10)
    assert done.is_set()
    assert sum(watch.waits) >= lab.turns.away > 0
