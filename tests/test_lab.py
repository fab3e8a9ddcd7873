import itertools
import json
import math
import threading
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from app.events import Frame, Progress
from app.images import encode, open_picture, to_picture
from app.lab import Lab
from app.measure import packed
from app.run import Pace
from app.scenario import AUTO, VIEWS, Scenario, ScenarioError, Watch
from app.shelf import resolved_codec
from model import ComDefend, DefendedClassifier, pretrained
from model.attacks import ATTACKS, THREAT_MODELS, AttackCancelled, AttackError, attack, interruptible
from model.files import WeightsError
from model.ops import pack_code, unpack
from model.zoo import CLASSIFIERS, CODECS
from tests.conftest import TINY_LIGHT


def scenario(name: str, **more) -> Scenario:
    spec = ATTACKS[name]
    return Scenario(
        classifier="cifar10",
        attack=name,
        epsilon=8 if spec.has_epsilon else None,
        steps=20 if spec.has_steps else None,
        **more,
    )


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
@pytest.mark.parametrize("name", ATTACKS)
def test_every_run_tells_the_truth(lab, picture, classifier, codec, name, threat_model):
    outcome = lab.run(picture, scenario(name, threat_model=threat_model))
    result = json.loads(json.dumps(outcome.summary()))
    assert list(result) == [
        "scenario", "predictions", "verdict", "metrics", "sizes_bytes", "timings_ms", "device"
    ]  # fmt: skip
    assert list(result["predictions"]) == list(VIEWS)

    # Each prediction is the classifier's own, on the picture that is shown.
    shown = [outcome.original, outcome.adversarial, outcome.defended_original, outcome.defended_adversarial]
    for view, x in zip(VIEWS, shown, strict=True):
        best = classifier(x).softmax(1)[0]
        assert result["predictions"][view]["label"] == classifier.classes[best.argmax()]
        assert result["predictions"][view]["confidence"] == pytest.approx(best.max().item(), abs=1e-4)
        assert len(result["predictions"][view]["top"]) == 4
    assert torch.equal(outcome.defended_adversarial, codec(outcome.adversarial))
    assert torch.equal(outcome.code_original, codec.compress(outcome.original))

    system = classifier if threat_model == "grey-box" else DefendedClassifier(classifier, codec)
    changed = system(outcome.original).argmax() != system(outcome.adversarial).argmax()
    said = {view: answer["label"] for view, answer in result["predictions"].items()}
    assert result["verdict"] == {
        "attack_succeeded": bool(changed),
        "defence_held": said["defended_adversarial"] == said["original"],
        "codec_changed_label": said["defended_original"] != said["original"],
    }

    metrics = result["metrics"]
    delta = outcome.adversarial - outcome.original
    assert metrics["linf_255"] == pytest.approx(delta.abs().max().item() * 255, abs=1e-3)
    assert metrics["l2"] == pytest.approx(delta.square().sum().sqrt().item(), abs=1e-4)
    assert metrics["code_bits_per_pixel"] == 12
    flipped = (outcome.code_original != outcome.code_adversarial).float().mean().item()
    assert metrics["code_bits_flipped"] == pytest.approx(flipped, abs=1e-5)
    assert list(result["timings_ms"]) == ["attack", "compress", "reconstruct", "classify"]
    assert list(result["sizes_bytes"]) == ["packed_code", "png", "jpeg_75"]
    assert result["sizes_bytes"]["packed_code"] == len(pack_code(outcome.code_adversarial[0]))
    assert result["sizes_bytes"]["png"] == len(encode(to_picture(outcome.adversarial), "PNG"))


def test_the_attacked_system_is_the_one_of_the_threat_model(lab, picture, classifier, codec, monkeypatch):
    attacked = []

    def spy(name, model, x, labels, **_):
        attacked.append((model, labels))
        return x

    monkeypatch.setattr("app.lab.attack", spy)
    grey = lab.run(picture, scenario("FGSM"))
    lab.run(picture, scenario("FGSM", threat_model="adaptive"))
    assert attacked[0][0] is classifier
    assert isinstance(attacked[1][0], DefendedClassifier)
    assert attacked[1][1].item() == DefendedClassifier(classifier, codec)(grey.original).argmax().item()
    # An attack that changed nothing is said to have failed, and equal pictures have no PSNR.
    assert grey.verdict["attack_succeeded"] is False
    assert grey.metrics["psnr_adversarial_db"] is None


def test_a_target_is_reached_or_not(lab, picture, classifier):
    first = lab.run(picture, scenario("FGSM"))
    target = first.predictions["adversarial"].top[1][0]
    outcome = lab.run(picture, scenario("PGD", target=target))
    reached = outcome.predictions["adversarial"].label == target
    assert outcome.verdict["attack_succeeded"] is reached


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_a_run_leaves_the_models_as_they_were(lab, picture, classifier, codec, threat_model):
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    lab.run(picture, scenario("PGD", threat_model=threat_model))
    assert not any(module.training for model in (classifier, codec) for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())
    assert all(p.grad is None for model in (classifier, codec) for p in model.parameters())


def test_the_same_seed_gives_the_same_run(lab, picture):
    first = lab.run(picture, scenario("PGD", seed=5))
    assert torch.equal(first.adversarial, lab.run(picture, scenario("PGD", seed=5)).adversarial)
    assert not torch.equal(first.adversarial, lab.run(picture, scenario("PGD", seed=6)).adversarial)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threat_model": "white-box"}, "unknown threat model 'white-box'"),
        ({"codec": "jpeg"}, "unknown codec 'jpeg'"),
        ({"classifier": "mnist"}, "unknown classifier 'mnist'"),
        ({"planes": 13}, "1 to 12 planes to keep, not 13"),
        ({"planes": 0}, "1 to 12 planes to keep, not 0"),
        ({"target": "unicorn"}, "no class 'unicorn'"),
        ({"epsilon": float("nan")}, "got nan"),
        ({"attack": "magic"}, "unknown attack 'magic'"),
        ({"attack": "DeepFool", "target": "cross", "epsilon": None}, "cannot be aimed"),
    ],
)
def test_impossible_scenarios_are_refused(lab, picture, wrong, message):
    with pytest.raises(ValueError, match=message):
        lab.run(picture, Scenario(**{"classifier": "cifar10"} | wrong))


def test_a_code_can_be_cut_short(lab, picture, codec):
    for threat_model in THREAT_MODELS:
        outcome = lab.run(picture, scenario("PGD", threat_model=threat_model, planes=5))
        assert outcome.code_adversarial.shape == (1, 5, 16, 16)
        kept = codec.compress(outcome.adversarial, 5)
        assert torch.equal(outcome.code_adversarial, kept[:, :5])
        assert torch.equal(outcome.defended_adversarial, codec.reconstruct(kept))
        assert outcome.metrics["code_bits_per_pixel"] == 5
        assert outcome.sizes_bytes["packed_code"] < len(pack_code(torch.zeros(12, 16, 16)))
    assert lab.run(picture, scenario("FGSM", planes=12)).scenario.planes is None


def test_a_codec_that_is_meant_to_keep_few_planes_keeps_them_where_nobody_says(lab, picture, codec):
    codec.config = replace(codec.config, kept=4)
    meant, said = (lab.run(picture, scenario("FGSM", planes=planes)) for planes in (None, 4))
    assert meant.scenario.planes is said.scenario.planes is None
    assert meant.code_adversarial.shape[1] == meant.metrics["code_bits_per_pixel"] == 4
    assert torch.equal(meant.defended_adversarial, codec(meant.adversarial, planes=4))
    whole = lab.run(picture, scenario("FGSM", planes=12))
    assert whole.scenario.planes == whole.code_adversarial.shape[1] == 12
    code, rebuilt = lab.defend(meant.original)
    assert code.shape[1] == 4
    assert torch.equal(rebuilt, meant.defended_original)


def test_fewer_planes_are_kept_of_the_picture_that_looks_noisier(lab, codec):
    codec.config = replace(codec.config, kept=((0, 12), (1, 5)))
    smooth = Image.new("RGB", (16, 16), (100, 120, 140))
    outcome = lab.run(smooth, scenario("FGSM"))
    result = outcome.summary()
    assert outcome.scenario.planes is None
    assert outcome.code_original.shape == (1, 12, 16, 16)
    assert outcome.code_adversarial.shape == (1, 5, 16, 16)
    assert torch.equal(outcome.defended_original, codec(outcome.original, planes=12))
    assert torch.equal(outcome.defended_adversarial, codec(outcome.adversarial, planes=5))
    metrics = result["metrics"]
    assert (metrics["code_planes_original"], metrics["code_planes_adversarial"]) == (12, 5)
    assert metrics["code_bits_per_pixel"] == 5
    flipped = codec.compress(outcome.original, 5) != codec.compress(outcome.adversarial, 5)
    assert metrics["code_bits_flipped"] == pytest.approx(flipped[:, :5].float().mean().item(), abs=1e-5)
    assert lab.run(smooth, scenario("FGSM", planes=12)).scenario.planes == 12
    code, rebuilt = lab.defend(outcome.adversarial)
    assert torch.equal(code, outcome.code_adversarial)
    assert torch.equal(rebuilt, outcome.defended_adversarial)


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_a_light_codec_goes_all_the_way(lab, picture, threat_model):
    """Sides that it does not divide, dropped planes, a code that is smaller than the picture, the attack."""
    torch.manual_seed(0)
    light = ComDefend(replace(TINY_LIGHT, com_widths=(16, 16, 16, 10))).eval().requires_grad_(False)
    lab._codecs["comdefend-cifar10-purify"] = light
    lab.classifier("cifar10").config = replace(lab.classifier("cifar10").config, image_size=18)
    outcome = lab.run(picture, scenario("PGD", threat_model=threat_model, planes=7))
    assert outcome.original.shape == outcome.defended_adversarial.shape == (1, 3, 18, 18)
    assert outcome.code_adversarial.shape == (1, 7, 5, 5)
    assert outcome.metrics["code_bits_per_pixel"] == pytest.approx(7 * 25 / 18**2)
    assert outcome.metrics["linf_255"] == 8
    kept = light.compress(outcome.adversarial, 7)
    assert torch.equal(outcome.defended_adversarial, light.reconstruct(kept, (18, 18)))
    found = unpack(packed(outcome.code_adversarial, outcome.adversarial))
    assert torch.equal(found.code, kept[0, :7])
    assert found.size == (18, 18)
    code, rebuilt = lab.defend(torch.rand(1, 3, 9, 30), "comdefend-cifar10-purify")
    assert (code.shape, rebuilt.shape) == ((1, 10, 3, 8), (1, 3, 9, 30))
    with pytest.raises(ScenarioError, match="1 to 10 planes to keep, not 11"):
        lab.run(picture, scenario("PGD", planes=11))


def test_the_better_codec_is_chosen_for_a_classifier():
    assert resolved_codec(AUTO, "cifar10") == "comdefend-cifar10-purify"
    assert resolved_codec("another", "cifar10") == "another"


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match="there is no folder"):
        Lab("cpu").codec("comdefend-cifar10")


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_stopping_ends_a_run_at_once_and_leaves_the_lab_usable(lab, picture, threat_model):
    said: list[tuple[float, str]] = []

    def stop_soon(share: float, what: str) -> None:
        said.append((share, what))
        if len(said) == 3:
            watch.stop()

    watch = Watch(stop_soon)
    with pytest.raises(AttackCancelled):
        lab.run(picture, scenario("PGD", threat_model=threat_model), watch)
    assert [what for _, what in said] == [f"PGD at work ({threat_model})"] * 3
    assert not any(module._forward_pre_hooks for module in lab.classifier("cifar10").modules())
    assert lab.run(picture, scenario("PGD")).device == "cpu"


def test_a_run_told_as_it_goes_on_is_the_same_run(lab, picture, classifier, codec):
    """Each frame is the attack's own picture at that step, and both systems' answers for it."""
    clock = itertools.count(step=10)
    lab._clock = lambda: next(clock)
    wanted = scenario("PGD", threat_model="adaptive")
    *told, outcome = lab.events(picture, wanted, share=1)
    assert torch.equal(outcome.adversarial, lab.run(picture, wanted).adversarial)
    assert {type(event) for event in told} <= {Progress, Frame}
    assert {event.what for event in told if isinstance(event, Progress)} <= {
        "PGD at work (adaptive)", "Through the codec"
    }  # fmt: skip
    label = outcome.predictions["original"].label
    assert [step.step for step in outcome.trail][:1] == [0]
    assert outcome.trail[-1].step == 20
    assert 2 < len(outcome.trail) < 20  # some, and no more than there was time for
    first, last = outcome.trail[0], outcome.trail[-1]
    for view, reading in zip(VIEWS, (first.bare, last.bare, first.defended, last.defended), strict=True):
        answer = outcome.predictions[view]
        assert (reading.label, reading.confidence) == (answer.label, answer.confidence)
    seen: list[torch.Tensor] = []
    system, x = DefendedClassifier(classifier, codec), outcome.original
    attack(
        "PGD", system, x, system(x).argmax(1), epsilon=8, steps=20,
        on_step=lambda step, now: seen.append(now),
    )  # fmt: skip
    for frame in (event for event in told if isinstance(event, Frame)):
        assert torch.equal(frame.adversarial, seen[frame.step - 1])
        assert torch.equal(frame.code_adversarial, codec.compress(frame.adversarial))
        step = frame.trail[-1]
        assert (step.step, frame.steps) == (frame.step, 20)
        share = classifier(codec(frame.adversarial)).softmax(1)[0, classifier.classes.index(label)].item()
        assert step.defended.original == pytest.approx(share, abs=1e-4)


def test_nobody_watching_costs_nothing(lab, picture, classifier):
    """A run without a listener looks at two pictures, and at none of those between."""
    passes = []
    classifier.register_forward_pre_hook(lambda *_: passes.append(1))
    outcome = lab.run(picture, scenario("BIM"))
    assert len(passes) == 20 + 2 * 2
    assert [step.step for step in outcome.trail] == [0, 20]


def frames(steps: int, step_seconds: float, frame_seconds: float, share: float) -> tuple[list[int], float]:
    """After which steps of an attack frames are shown, and what they cost in all, in seconds."""
    now = 0.0
    pace = Pace(steps, frame_seconds, share, clock=lambda: now)
    shown = []
    for step in range(1, steps):
        now += step_seconds
        if pace.due(step):
            shown.append(step)
            now += frame_seconds
            pace.shown(since=now - frame_seconds)
    return shown, pace.spent


def test_frames_cost_a_share_of_the_attack():
    shown, spent = frames(steps=1000, step_seconds=0.1, frame_seconds=0.5, share=0.1)
    assert len(shown) == 20  # of 100 s, 10 s
    assert spent == pytest.approx(10)
    assert frames(1000, 0.1, frame_seconds=11, share=0.1) == ([], 0)


def test_the_first_frame_is_early_and_frames_are_apart():
    shown, _ = frames(steps=100, step_seconds=0.09, frame_seconds=0.01, share=1)
    assert shown[0] == 3  # 0.27 s
    assert set(np.diff(shown)) == {3}


def test_nothing_is_shown_of_what_is_nearly_done():
    shown, _ = frames(steps=11, step_seconds=0.11, frame_seconds=0.01, share=1)
    assert shown == [2, 4, 6]  # after the eighth, 0.33 s are left
    assert frames(steps=10, step_seconds=0.05, frame_seconds=0.01, share=1) == ([], 0)
    assert frames(steps=10, step_seconds=0.05, frame_seconds=9, share=math.inf)[0] == list(range(1, 10))


def test_who_stops_listening_stops_the_run(lab, picture):
    watch = Watch()
    events = lab.events(picture, scenario("PGD"), watch)
    next(events)
    events.close()
    with pytest.raises(AttackCancelled):
        watch.check()
    assert lab.run(picture, scenario("FGSM")).device == "cpu"  # the lab is free again


def test_what_goes_wrong_is_raised_where_it_is_heard(lab, picture):
    with pytest.raises(AttackError, match="unknown attack 'magic'"):
        list(lab.events(picture, Scenario(classifier="cifar10", attack="magic")))


def test_a_run_that_takes_too_long_is_ended(lab, picture):
    ticks = itertools.count()
    with pytest.raises(ScenarioError, match=r"more than 7 s .* fewer steps"):
        lab.run(picture, scenario("PGD"), Watch(limit_s=7, clock=lambda: next(ticks)))
    assert next(ticks) == 9  # looked at the clock at the start, and each second until it was too late


def test_each_part_of_a_run_is_timed(classifier, codec, picture):
    ticks = itertools.count(step=0.25)
    lab = Lab("cpu", clock=lambda: next(ticks))
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10-purify"] = classifier, codec
    timings = lab.run(picture, scenario("FGSM")).timings_ms
    assert timings == {"attack": 250, "compress": 500, "reconstruct": 500, "classify": 500}  # of two pictures


@pytest.mark.parametrize("threat_model", THREAT_MODELS)
def test_a_target_that_the_picture_is_already_is_refused(lab, picture, classifier, codec, threat_model):
    outcome = lab.run(picture, scenario("FGSM", threat_model=threat_model))
    view = "original" if threat_model == "grey-box" else "defended_original"
    own = outcome.predictions[view].label
    with pytest.raises(ScenarioError, match=f"is '{own}' already"):
        lab.run(picture, scenario("FGSM", threat_model=threat_model, target=own))


def test_a_run_that_waits_for_its_turn_can_be_stopped(lab, picture):
    watch = Watch()
    watch.stop()
    with lab.turns.turn(), pytest.raises(AttackCancelled):
        lab.run(picture, scenario("PGD"), watch)
    assert lab.run(picture, scenario("PGD")).device == "cpu"


def test_defending_a_large_picture_can_be_stopped(lab):
    watch = Watch()
    watch.stop()
    with pytest.raises(AttackCancelled):
        lab.defend(torch.rand(1, 3, 300, 300), watch=watch)
    code, rebuilt = lab.defend(torch.rand(1, 3, 300, 300))
    assert code.shape == (1, 12, 300, 300)
    assert rebuilt.shape == (1, 3, 300, 300)


def test_a_stop_takes_effect_inside_a_pass_forwards_and_backwards(classifier, codec):
    """A pass over a photograph takes seconds: too long to wait for its end."""
    model = DefendedClassifier(classifier, codec)
    layers = sum(not any(module.children()) for module in model.modules())
    for stop_after in (2, layers - 1, layers + 2, 2 * layers - 3):
        checks = 0

        def check(stop_after: int = stop_after) -> None:
            nonlocal checks
            checks += 1
            if checks == stop_after:
                raise AttackCancelled

        x = torch.rand(1, 3, 16, 16, requires_grad=True)
        with pytest.raises(AttackCancelled), interruptible(model, check):
            model(x).sum().backward()
        assert checks == stop_after
    with interruptible(model, lambda: None):
        model(x).sum().backward()


def test_the_size_of_the_picture_chooses_the_classifier_unless_told(lab, picture, monkeypatch):
    asked: list[str] = []
    classifier = lab.classifier("cifar10")
    monkeypatch.setattr(lab, "classifier", lambda name, watch=None: asked.append(name) or classifier)
    settings = {"attack": "FGSM", "steps": None}
    for size, choice in (((16, 16), "auto"), ((300, 200), "auto"), ((300, 200), "cifar10")):
        outcome = lab.run(picture.resize(size), Scenario(classifier=choice, **settings))
        assert outcome.scenario.classifier == asked[-1]
    assert asked == ["cifar10", "imagenet", "cifar10"]


def test_a_classifier_that_cannot_be_had_leaves_the_others(lab, picture, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", _no_connection)
    with pytest.raises(WeightsError, match="could not be downloaded"):
        lab.run(picture, Scenario(classifier="imagenet-resnet50", attack="FGSM", steps=None))
    assert lab.run(picture, scenario("FGSM")).device == "cpu"


def _no_connection(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no route to host")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FGSM", "DeepFool"])
def test_a_photograph_of_a_thousand_classes(photograph, name):
    """DeepFool goes backwards once for each class that it is shown: ten, not a thousand."""
    lab = Lab("cpu")
    steps = 2 if name == "DeepFool" else None
    epsilon = None if name == "DeepFool" else 4
    outcome = lab.run(open_picture(photograph), Scenario(attack=name, steps=steps, epsilon=epsilon))
    assert outcome.original.shape == (1, 3, 224, 224)
    assert outcome.code_original.shape == (1, 64, 56, 56)
    assert outcome.scenario.classifier == "imagenet"
    assert outcome.predictions["original"].label == "espresso"
    if name == "FGSM":
        assert outcome.code_adversarial.shape[1] <= 12  # it looks noisy
        assert outcome.metrics["linf_255"] == epsilon
    else:
        assert outcome.metrics["linf_255"] >= 1  # it changed something, and pictures have 8 bits
    # What a visitor downloads, put in again, is read the same.
    again = open_picture(encode(to_picture(outcome.adversarial), "PNG"))
    assert lab.classify(again, "imagenet") == outcome.predictions["adversarial"]


def test_scenarios_lists_what_run_accepts(lab):
    choices = lab.scenarios()
    json.dumps(choices)
    assert list(choices["attacks"]) == list(ATTACKS)
    assert choices["attacks"]["DeepFool"]["epsilon"] is None
    assert choices["attacks"]["FGSM"]["steps"] is None
    assert choices["attacks"]["PGD"]["steps"]["max"] == 200
    assert choices["planes"]["max"] == dict.fromkeys(CODECS, 12)
    assert choices["threat_models"] == list(THREAT_MODELS)
    assert list(choices["classifiers"]) == list(CLASSIFIERS)
    assert len(choices["classifiers"]["imagenet-resnet50"]) == 1000  # known without a download
    with pytest.raises(AttackError, match="from 1 to 64"):
        ATTACKS["FGSM"].check(choices["attacks"]["FGSM"]["epsilon"]["max"] + 1, None, None)


@pytest.mark.parametrize("name", ["PGD", "Square", "APGD"])
def test_who_goes_in_between_changes_nothing(lab, picture, monkeypatch, name):
    """Others use the same models and torch's random numbers while a run lets them go first."""
    monkeypatch.setattr("app.turns.SLICE_SECONDS", 0.0)
    monkeypatch.setattr("app.lab.SMALL", 8)  # so that this run is of the lane of photographs
    # So strong that Square, which draws at random until it succeeds, does so in the end.
    asked = replace(scenario(name, seed=3), epsilon=24 if name == "Square" else 8, steps=100)
    wanted = lab.run(picture, asked)
    done, between = threading.Event(), []

    def others() -> None:
        while not done.is_set():
            with lab.turns.turn(lane="small"):
                between.append(lab.classifier("cifar10")(torch.rand(1, 3, 16, 16)))

    thread = threading.Thread(target=others)
    thread.start()
    try:
        before, found = len(between), lab.run(picture, asked, watch := Watch())
    finally:
        done.set()
        thread.join(10)
    assert len(between) > before + 20
    assert torch.equal(found.adversarial, wanted.adversarial)
    assert sum(watch.waits) >= lab.turns.away > 0


def test_who_goes_in_between_is_not_asked_to_stop(classifier):
    """The layers of one model ask the run that they belong to, not whoever uses them meanwhile."""

    def check() -> None:
        raise AttackCancelled

    answered = []
    x = torch.rand(1, 3, 16, 16)
    with interruptible(classifier, check):
        thread = threading.Thread(target=lambda: answered.append(classifier(x)))
        thread.start()
        thread.join(10)
    assert len(answered) == 1


def test_who_waits_reads_his_place_and_who_finds_no_place_reads_when_to_come_back(picture):
    lab, told = Lab("cpu", waiting=1), []
    stop = Watch()

    def hear(share: float, what: str) -> None:
        told.append(what)

    def wait() -> None:
        with pytest.raises(AttackCancelled):
            lab.classify(picture, "cifar10", stop.heard_by(hear))

    with lab.turns.turn(lane="small"):
        thread = threading.Thread(target=wait)
        thread.start()
        while not told:
            pass
        assert told[0].startswith("Waiting: 1 run is before yours")
        with pytest.raises(ScenarioError, match="The machine is busy: 1 run waits already"):
            lab.classify(picture, "cifar10")
        stop.stop()
        thread.join(10)
    assert lab.turns.idle


def test_what_a_gpu_has_no_memory_for_is_computed_on_the_cpu_and_said(lab, picture, monkeypatch, caplog):
    told, run_here = [], Lab._run_here

    def full(self, *arguments):
        if self is gpu:
            raise torch.OutOfMemoryError
        self._classifiers, self._codecs = lab._classifiers, lab._codecs
        return run_here(self, *arguments)

    gpu = Lab("cpu")
    gpu.device = torch.device("cuda", 0)  # there need be none
    monkeypatch.setattr(Lab, "_run_here", full)
    for _ in range(2):
        outcome = gpu.run(picture, scenario("PGD"), Watch(lambda _, what: told.append(what)))
        assert outcome.device == "cpu"
        assert told.pop(0) == "The GPU has no memory left; on with the CPU"
        assert "PGD at work (grey-box)" in told
        told.clear()
    assert "has no memory left" in caplog.text
    assert torch.equal(outcome.adversarial, lab.run(picture, scenario("PGD")).adversarial)
    monkeypatch.setattr(gpu, "device", torch.device("cpu"))
    with pytest.raises(torch.OutOfMemoryError):  # where there is no other device, it is an error like others
        gpu.run(picture, scenario("PGD"))
