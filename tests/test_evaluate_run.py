import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torchattacks
from torch import Tensor, nn

from model.attacks import EVALUATION_ATTACKS
from model.attacks.adapters import Adapter
from model.classifiers import Classifier, DefendedClassifier
from model.comdefend import ComDefend
from model.data import DataError, ImageSet, to_float
from model.defences import Codec
from model.evaluate import run
from model.evaluate.journal import Journal, Record
from model.evaluate.plan import LARGE, MAIN, MI_FGSM, Preset
from model.evaluate.report import figures
from model.evaluate.run import Suite, vector, worst_case
from model.evaluate.systems import System
from tests.conftest import MARGINS, TINY_CODEC, TINY_LIGHT, record

pytestmark = pytest.mark.slow

QUICK = Preset("tiny", images=8, adaptive_images=4, few_images=2, epsilons=(2.0, MAIN, 16.0), steps=2)
WHOLE = replace(QUICK, suite=True, queries=9, few_images=4)
SOME = replace(WHOLE, attacks=("PGD", "MI-FGSM", "APGD", "Square"), epsilons=(MAIN,))
DEFENCES = ("none", "comdefend-tiny", "bits-5", "noise-8")


def weak_autoattack(patch: pytest.MonkeyPatch) -> None:
    """Two attacks of two steps instead of four of a hundred."""

    def build(model: nn.Module, epsilon: float, steps: int, seed: int) -> object:
        square = torchattacks.Square(model, eps=epsilon, n_queries=2, seed=seed)
        return torchattacks.MultiAttack([torchattacks.APGD(model, eps=epsilon, steps=2, seed=seed), square])

    for name in ("AutoAttack", "AutoAttack-rand"):
        patch.setitem(EVALUATION_ATTACKS, name, replace(EVALUATION_ATTACKS[name], method=Adapter(build)))


@pytest.fixture(autouse=True)
def quick_autoattack(monkeypatch):
    weak_autoattack(monkeypatch)


class Tilted(nn.Module):
    """Another classifier of colours: it sees the upper half alone."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.config = classifier.config

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x[:, :, :8])


@pytest.fixture
def suite(systems, coloured):
    """A function that makes the measuring of the coloured pictures."""

    def make(
        preset: Preset = QUICK,
        seed: int = 0,
        journal: Journal | None = None,
        only: tuple[str, ...] = DEFENCES,
        source: bool = False,
        data: ImageSet = coloured,
    ) -> Suite:
        chosen = [system for system in systems if system.name in only]
        other = ("tilted", Tilted(systems[0].classifier)) if source else None
        return Suite(chosen, data, preset, other, journal or Journal(None, {}), seed)

    return make


@pytest.fixture(scope="module")
def whole(systems, coloured) -> Iterator[Suite]:
    """All that there is, measured once."""
    with pytest.MonkeyPatch.context() as patch:
        weak_autoattack(patch)
        source = ("tilted", Tilted(systems[0].classifier))
        found = Suite(systems, coloured, WHOLE, source, Journal(None, {}), seed=0)
        assert found.run() == []
        yield found


def timeless(records: list[Record]) -> list[Record]:
    return [{name: value for name, value in r.items() if name != "seconds"} for r in records]


def cell(r: Record) -> tuple:
    return r["defence"], r["threat_model"], r["attack"], r["epsilon"], r["steps"], r["scope"], r["cascade"]


def find(records: list[Record], **wanted: object) -> Record:
    (found,) = (
        r for r in records if "dial" not in r and all(r[name] == value for name, value in wanted.items())
    )
    return found


def test_every_cell_of_the_table_is_there(suite):
    quick = suite(source=True)
    quick.run()
    wanted = set()
    for name in DEFENCES:
        grey = "white-box" if name == "none" else "grey-box"
        wanted |= {
            (name, "no attacker", "clean", None, None, "all", False),
            (name, "black-box", "transfer", MAIN, 10, "all", False),
        }
        for epsilon in QUICK.epsilons:
            wanted.add((name, "no attacker", "noise", epsilon, None, "all", False))
            for attack, steps in (("FGSM", None), ("BIM", 10), ("PGD", 2)):
                wanted.add((name, grey, attack, epsilon, steps, "all", False))
                if name != "none":
                    wanted.add((name, "adaptive", attack, epsilon, steps, "adaptive", False))
        if name != "none":
            wanted |= {
                (name, "adaptive", "PGD", MAIN, 4, "adaptive", False),
                (name, "adaptive", "PGD", LARGE, 2, "few", False),
            }
    cells = Counter(cell(r) for r in quick.journal.records if "dial" not in r)
    assert set(cells) == wanted
    assert set(cells.values()) == {1}
    for r in quick.journal.records:
        if "dial" not in r:
            assert len(r["right"]) == {"all": 8, "adaptive": 4, "few": 2}[r["scope"]]
            assert r["seconds"] >= 0


def test_the_whole_suite_is_there_too(whole):
    cells = {cell(r) for r in whole.journal.records if "dial" not in r}
    for name in DEFENCES:
        grey, knowing = ("white-box",) * 2 if name == "none" else ("grey-box", "adaptive")
        auto = "AutoAttack-rand" if name == "noise-8" else "AutoAttack"
        for attack, steps in (("MI-FGSM", 10), ("APGD", 20), ("APGD-DLR", 20)):
            assert (name, grey, attack, MAIN, steps, "all", False) in cells
            assert (name, knowing, attack, MAIN, steps, "adaptive", True) in cells
            assert (name, knowing, attack, MAIN, steps, "few", False) in cells
        for scope, cascade in (("adaptive", True), ("few", False)):
            assert (name, "black-box", "Square", MAIN, 9, scope, cascade) in cells
            assert (name, knowing, "PGD", MAIN, 2, scope, cascade) in cells
        assert (name, knowing, auto, MAIN, 100, "adaptive", True) in cells
        assert (name, knowing, auto, MAIN, 100, "few", False) not in cells
        for attack in ("DeepFool", "C&W"):
            assert (name, grey, attack, MAIN, 50, "few", False) in cells
            assert (name, knowing, attack, MAIN, 50, "few", False) in cells
    cascades = [r for r in whole.journal.records if "dial" not in r and r["cascade"]]
    assert {r["epsilon"] for r in cascades} == {MAIN}
    assert {r["gradient"] for r in cascades if r["defence"] == "comdefend-tiny"} == {
        "gaussian", "sigmoid", "identity", None,
    }  # fmt: skip
    assert {r["loss"] for r in cascades if r["attack"] == "PGD"} == {"margin", "cross-entropy"}


def test_every_unit_of_work_has_a_key_of_its_own(suite):
    for preset in (QUICK, WHOLE, replace(WHOLE, everywhere=True)):
        keys = [unit.key for unit in suite(preset, source=True).units()]
        assert len(set(keys)) == len(keys)


def test_the_undefended_classifier_falls_where_the_pictures_margins_say(whole):
    for epsilon in WHOLE.epsilons:
        wanted = [margin > epsilon for margin in MARGINS[:-1]] + [False]  # the last label is wrong
        for attack in ("FGSM", "BIM"):
            found = find(whole.journal.records, defence="none", attack=attack, epsilon=epsilon)
            assert vector(found["right"]).tolist() == wanted
    assert find(whole.journal.records, defence="none", attack="clean")["right"] == "11111110"


def test_clean_accuracy_is_of_the_defended_system(suite, systems, coloured):
    shuffled = replace(coloured, labels=coloured.labels.roll(3))
    for data in (coloured, shuffled):
        found = suite(replace(QUICK, epsilons=(), adaptive_images=0), data=data)
        found.run()
        for system in systems[:3]:
            wanted = system.module(to_float(data.images)).argmax(1) == data.labels
            assert torch.equal(vector(find(found.journal.records, defence=system.name)["right"]), wanted)


def test_noise_moves_every_pixel_by_the_strength(suite, systems, coloured, monkeypatch):
    found = suite(replace(QUICK, epsilons=(MAIN,), adaptive_images=0, attacks=()))
    seen = []
    monkeypatch.setattr(found, "correct", lambda model, images, labels, seed: seen.append(images) or labels)
    found._noise(MAIN).work(0)
    moved = (seen[0] - to_float(coloured.images)) * 255
    assert torch.equal(moved.round().abs(), torch.full_like(moved, 8))
    assert moved.mean().abs() < 1
    assert all(torch.equal(one, seen[0]) for one in seen)


def spy_on_pgd(monkeypatch) -> list[tuple]:
    """What each descent attacked: the model, how many pictures, and whether it might stop early."""
    seen: list[tuple] = []
    descend = run.descend

    def spy(model, x, labels, epsilon, descent, generator, stop_early):
        seen.append((model, len(x), descent, stop_early))
        return descend(model, x, labels, epsilon, descent, generator, stop_early)

    monkeypatch.setattr(run, "descend", spy)
    return seen


def test_each_attacker_attacks_what_it_knows(suite, systems, monkeypatch):
    seen = spy_on_pgd(monkeypatch)
    suite(replace(QUICK, epsilons=(MAIN,), attacks=("FGSM", "MI-FGSM")), source=True).run()
    classifier = systems[0].classifier
    grey = [entry for entry in seen if entry[0] is classifier]
    transfer = [entry for entry in seen if isinstance(entry[0], Tilted)]
    direct = [entry for entry in seen if isinstance(entry[0], DefendedClassifier) and len(entry) == 4]
    assert len(grey) + len(transfer) + len(direct) == len(seen)
    assert {entry[1:] for entry in grey} == {(8, replace(MI_FGSM.descent, steps=1, momentum=0.0), False)}
    assert [entry[1:] for entry in transfer] == [(8, MI_FGSM.descent, False)]
    # Of four pictures the last is lost unattacked. A noisy defence is no one's to stop early at.
    one_step = [entry for entry in direct if entry[2].steps == 1]
    assert [entry[0].codec for entry in one_step] == [system.defence for system in systems[1:]]
    assert [entry[1] for entry in one_step] == [3, 3, 3]
    assert [entry[2].draws for entry in one_step] == [1, 1, 10]
    assert [entry[3] for entry in one_step] == [True, True, False]


def test_transferred_pictures_are_the_other_classifiers(suite, systems, coloured):
    found = suite(replace(QUICK, epsilons=(MAIN,), adaptive_images=0, attacks=("MI-FGSM",)), source=True)
    found.run()
    half = suite(replace(QUICK, epsilons=(2.0,), adaptive_images=0), source=True)
    assert not [unit for unit in half.units() if "transfer" in unit.key]
    transferred = find(found.journal.records, defence="none", attack="transfer")["right"]
    # Half of the pixels move, so a margin of more than four stands.
    assert transferred == "01111110"
    assert not [unit for unit in suite().units() if "transfer" in unit.key]


def test_a_cascade_attacks_only_what_still_stands(suite, monkeypatch):
    seen = spy_on_pgd(monkeypatch)
    found = suite(replace(WHOLE, attacks=("PGD",), epsilons=(MAIN,)), only=("none", "bits-5"))
    shown = {}
    for unit in found.units():
        seen.clear()
        records = unit.work(0)
        found.journal.write(unit.key, records)
        shown[unit.key] = sum(entry[1] for entry in seen)
    # Margins of 1.5, 6.5 and 12.5, and a picture lost already: one stands at 8/255.
    assert shown["adaptive bits-5: PGD, 2, 8"] == 3
    assert shown["cascade bits-5: PGD, 2, margin, 8"] == 1
    assert shown["cascade none: PGD, 2, margin, 8"] == 1
    assert shown["few bits-5: PGD, 2, margin, 8"] == 3


def test_what_fell_once_stays_fallen_in_a_cascade(whole):
    for name in DEFENCES:
        before: list[Record] = []
        for r in whole.journal.records:
            if r["defence"] != name or "dial" in r:
                continue
            if r["cascade"]:
                standing = worst_case(before, name, MAIN, whole.scopes)[whole.scopes["adaptive"]]
                assert not (vector(r["right"]) & ~standing).any()
            before.append(r)
        assert any(r["cascade"] and "1" in r["right"] for r in before)


def test_a_stand_in_is_used_for_its_own_attack_alone(suite, systems, monkeypatch):
    codec = systems[1].defence
    seen = []
    found = suite(replace(WHOLE, attacks=("PGD",), epsilons=(MAIN,)), only=("none", "comdefend-tiny"))
    craft = found.craft

    def spy(model, *args, **kwargs):
        seen.append(codec.gradient)
        return craft(model, *args, **kwargs)

    monkeypatch.setattr(found, "craft", spy)
    for unit in found.units():
        seen.clear()
        found.journal.write(unit.key, unit.work(0))
        form = next((form for form in ("sigmoid", "identity") if form in unit.key), "gaussian")
        assert set(seen) <= {form}
        assert codec.gradient == "gaussian"
    with pytest.raises(RuntimeError, match="on purpose"), run._through(systems[1], "sigmoid"):
        raise RuntimeError("on purpose")
    assert codec.gradient == "gaussian"


def test_what_the_first_gradient_was_like_is_kept_of_descents(whole):
    pgd = find(
        whole.journal.records, defence="bits-5", attack="PGD", epsilon=MAIN, threat_model="adaptive",
        steps=2, scope="adaptive", cascade=False,
    )  # fmt: skip
    assert pgd["no_gradient"] == 0
    assert pgd["zero_gradient"] < 0.1
    square = find(whole.journal.records, defence="bits-5", attack="Square", scope="few")
    assert "no_gradient" not in square


def test_flipped_bits_are_counted_for_codecs(whole, systems, coloured):
    codec = systems[1].defence
    shares = []
    for epsilon in WHOLE.epsilons:
        records = [r for r in whole.journal.records if r["epsilon"] == epsilon and r["attack"] == "noise"]
        assert [r["defence"] for r in records if "bits_flipped" in r] == ["comdefend-tiny"]
        shares.append(records[1]["bits_flipped"])
    assert 0 < shares[0] < shares[1] < shares[2] < 0.5
    x = to_float(coloured.images)
    found = Suite([systems[1]], coloured, QUICK, None, Journal(None, {}))
    shown = found._shown([systems[1]], "grey-box", MI_FGSM, MAIN, "all", 1 - x, 0)
    wanted = (codec.codec.compress(x) != codec.codec.compress(1 - x)).float().mean().item()
    assert shown[0]["bits_flipped"] == pytest.approx(wanted)


def test_the_dial_goes_from_one_plane_to_all(whole, systems, coloured):
    dial = [r for r in whole.journal.records if "dial" in r]
    assert {r["defence"] for r in dial} == {"comdefend-tiny"}
    assert Counter((r["attack"], r["threat_model"], r["epsilon"]) for r in dial) == {
        ("clean", "no attacker", None): 12,
        ("FGSM", "grey-box", MAIN): 12,
        ("BIM", "grey-box", MAIN): 12,
    }
    codec, classifier = systems[1].defence.codec, systems[1].classifier
    x = to_float(coloured.images)
    for r in dial:
        if r["attack"] == "clean":
            seen = codec.reconstruct(codec.compress(x, r["dial"]))
            assert torch.equal(vector(r["right"]), classifier(seen).argmax(1) == coloured.labels)
    whole_code = {r["attack"]: r["right"] for r in dial if r["dial"] == 12}
    for attack, right in whole_code.items():
        wanted = (
            r for r in whole.journal.records
            if "dial" not in r and r["defence"] == "comdefend-tiny" and r["attack"] == attack
            and r["scope"] == "all" and r["epsilon"] in (None, MAIN)
        )  # fmt: skip
        assert right == next(wanted)["right"]


def test_only_a_whole_codec_of_ours_has_a_dial(suite, systems):
    codec = systems[1]
    assert [unit.key for unit in suite().units() if "dial" in unit.key] == ["dial comdefend-tiny"]
    six = replace(codec, name="comdefend-tiny:6", defence=Codec(codec.defence.codec, planes=6))
    for other in (six, replace(codec, name="authors"), replace(codec, retrained=True), systems[2]):
        assert not run._has_dial(other)


def test_an_attack_without_a_strength_counts_only_inside_the_ball(whole):
    r = next(
        r for r in whole.journal.records
        if "dial" not in r and (r["defence"], r["attack"]) == ("none", "DeepFool")
    )  # fmt: skip
    assert r["right"] == "0010"  # margins of 1.5, 6.5, 12.5, and the wrong label
    assert r["success_rounded"] == r["success_before_rounding"] == 1
    assert r["median_linf_255_before_rounding"] == pytest.approx(6.5, abs=1)
    assert r["median_linf_255_rounded"] == pytest.approx(round(r["median_linf_255_rounded"]), abs=1e-3)
    assert r["median_l2_rounded"] == pytest.approx(r["median_linf_255_rounded"] / 255 * 768**0.5, rel=0.5)


def test_the_records_follow_the_seed(suite):
    first, again, other = (suite(SOME, seed=seed, source=True) for seed in (3, 3, 4))
    for found in (first, again, other):
        torch.manual_seed(len(found.journal.records))
        before = torch.get_rng_state()
        found.run()
        assert torch.equal(torch.get_rng_state(), before)
    assert timeless(first.journal.records) == timeless(again.journal.records)
    flips = [
        [r.get("bits_flipped") for r in s.journal.records if r["attack"] == "noise"] for s in (first, other)
    ]
    assert flips[0] != flips[1]


def test_attacks_without_a_strength_follow_the_seed_too(suite):
    preset = replace(SOME, attacks=("DeepFool", "PGD"))
    found = [suite(preset, only=("none", "noise-8")) for _ in range(2)]
    for one, state in zip(found, (1, 2), strict=True):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        one.run()
        assert torch.equal(torch.get_rng_state(), before)
    assert timeless(found[0].journal.records) == timeless(found[1].journal.records)


def test_nothing_is_measured_twice(whole):
    cells = Counter(
        (*cell(r), r["loss"], r["gradient"]) for r in whole.journal.records if "dial" not in r
    )  # fmt: skip
    assert [name for name, count in cells.items() if count > 1] == []


def test_the_whole_suite_does_without_adaptive_pictures(suite):
    found = suite(replace(WHOLE, adaptive_images=0))
    assert found.run() == []


def test_an_attack_without_a_strength_may_be_the_only_one(suite):
    found = suite(replace(WHOLE, attacks=("DeepFool",)))
    assert found.run() == []


def test_every_unit_has_a_seed_of_its_own(suite):
    found = suite(WHOLE)
    seeds = {found._seed(unit.key) for unit in found.units()}
    assert len(seeds) == len(found.units())
    assert found._seed("clean none") == suite(QUICK)._seed("clean none")
    assert found._seed("clean none") != suite(QUICK, seed=1)._seed("clean none")


class Stopped(RuntimeError):
    pass


@pytest.mark.parametrize("stop_at", [3, 25, 45])
def test_an_interrupted_run_goes_on_to_the_same_records(suite, tmp_path, monkeypatch, stop_at):
    unbroken = suite(SOME, source=True)
    unbroken.run()
    path = tmp_path / "journal.jsonl"

    broken = suite(SOME, journal=Journal(path, {"seed": 0}), source=True)
    count = itertools.count()
    correct = broken.correct

    def stopping(*args):
        if next(count) == stop_at:
            raise Stopped
        return correct(*args)

    monkeypatch.setattr(broken, "correct", stopping)
    with pytest.raises(Stopped):
        broken.run()
    assert 0 < len(broken.journal.units) < len(unbroken.journal.units)
    with path.open("ab") as file:
        file.write(b'{"unit": "half')

    resumed = suite(SOME, journal=Journal(path, {"seed": 0}), source=True)
    done = dict(resumed.journal.units)
    assert list(done) == list(broken.journal.units)
    assert resumed.run() == []
    assert timeless(resumed.journal.records) == timeless(unbroken.journal.records)
    assert all(resumed.journal.units[key] == records for key, records in done.items())
    assert timeless(Journal(path, {"seed": 0}).records) == timeless(unbroken.journal.records)
    with pytest.raises(DataError, match="holds another evaluation"):
        Journal(path, {"seed": 1})


def test_no_unit_begins_after_the_deadline(suite, monkeypatch):
    found = suite()
    keys = [unit.key for unit in found.units()]
    assert found.run(deadline=time.monotonic() - 1) == keys
    assert found.journal.records == []

    now = iter(range(100))
    monkeypatch.setattr(run.time, "monotonic", lambda: next(now))
    left = found.run(deadline=6)  # the clock shows 0, 1, ... before the units
    assert left == keys[7:]
    assert list(found.journal.units) == keys[:7]
    assert found.run(deadline=None) == []
    unbroken = suite()
    unbroken.run()
    assert timeless(found.journal.records) == timeless(unbroken.journal.records)


def test_what_is_done_is_not_done_again(suite, monkeypatch):
    found = suite()
    found.run()
    monkeypatch.setattr(found, "correct", None)
    monkeypatch.setattr(found, "craft", None)
    before = found.journal.records
    assert found.run() == []
    assert found.journal.records == before


def test_without_adaptive_pictures_no_one_adapts(suite):
    found = suite(replace(QUICK, adaptive_images=0))
    found.run()
    assert {r["threat_model"] for r in found.journal.records} == {"no attacker", "white-box", "grey-box"}


def test_the_pictures_of_the_scopes_lie_inside_each_other(suite):
    scopes = suite(replace(QUICK, adaptive_images=5, few_images=3)).scopes
    assert scopes["all"].tolist() == list(range(8))
    assert len(scopes["adaptive"]) == 5
    assert len(scopes["few"]) == 3
    assert set(scopes["few"].tolist()) < set(scopes["adaptive"].tolist()) < set(range(8))
    assert len(suite(replace(QUICK, adaptive_images=99, few_images=99)).scopes["few"]) == 8


def test_a_classifier_of_its_own_is_attacked_for_itself(systems, coloured, monkeypatch):
    seen = spy_on_pgd(monkeypatch)
    other = Tilted(systems[0].classifier).eval()
    mixed = [*systems[:2], System("comdefend-tiny@other", systems[1].defence, other, "other", True)]
    found = Suite(
        mixed, coloured, replace(QUICK, epsilons=(MAIN,), attacks=("BIM",)), None, Journal(None, {})
    )
    found.run()
    grey = [entry[0] for entry in seen if entry[1] == 8]
    assert [type(model) for model in grey[:2]] == [Classifier, Tilted]
    records = [r for r in found.journal.records if "dial" not in r]
    told = {r["defence"]: r for r in records if r["attack"] == "BIM" and r["scope"] == "all"}
    assert set(told) == {"none", "comdefend-tiny", "comdefend-tiny@other"}
    assert "bits_flipped" in told["comdefend-tiny"]
    assert "bits_flipped" not in told["comdefend-tiny@other"]
    assert {r["defence"] for r in found.journal.records if "dial" in r} == {"comdefend-tiny"}


def test_batches_are_smaller_for_larger_pictures():
    def sizes(count: int, side: int, model: nn.Module) -> list[int]:
        labels = torch.zeros(count, dtype=torch.long)
        return [len(x) for x, _ in run._batches(torch.zeros(count, 3, side, side), labels, model)]

    paper, light = ComDefend(TINY_CODEC), nn.Sequential(ComDefend(TINY_LIGHT))
    assert sizes(5, 224, paper) == [2, 2, 1]
    assert sizes(5, 32, paper) == [5]
    assert sizes(9, 224, light) == [8, 1]
    assert sizes(101, 32, light) == [100, 1]


def test_a_long_dial_is_looked_at_here_and_there():
    assert run.dial_positions(12) == list(range(1, 13))
    assert run.dial_positions(64) == [8, 16, 24, 32, 40, 48, 56, 64]


def test_what_takes_seconds_a_picture_gets_a_part_of_them(systems, coloured, monkeypatch):
    """A codec of the paper's shape before large pictures: fewer, but the very same ones."""
    monkeypatch.setattr("model.zoo.SMALL", 8)
    preset = replace(QUICK, epsilons=(4.0, MAIN), attacks=("FGSM", "PGD"), costly_images=3)
    suites = {}
    for small in (True, False):
        monkeypatch.setattr("model.zoo.SMALL", 64 if small else 8)
        assert systems[1].costly is not small
        suites[small] = Suite(systems[:3], coloured, preset, None, Journal(None, {}))
        suites[small].run()
    chosen = suites[False].scopes["costly"]
    assert len(chosen) == 3
    mine = {
        small: [r for r in found.journal.records if r["defence"] == "comdefend-tiny" and "dial" not in r]
        for small, found in suites.items()
    }
    whole = {(r["attack"], r["epsilon"], r["threat_model"], r["steps"]): r for r in mine[True]}
    seen = 0
    assert not any(r.get("scope") == "costly" for r in suites[False].journal.records if r not in mine[False])
    for r in mine[False]:
        assert r["scope"] == "costly"
        assert len(r["right"]) == 3
        if r["attack"] in ("FGSM", "clean"):
            every = whole[r["attack"], r["epsilon"], r["threat_model"], r["steps"]]
            wanted = torch.zeros(len(coloured), dtype=torch.bool)
            wanted[suites[False].scopes[every["scope"]]] = run.vector(every["right"])
            assert torch.equal(run.vector(r["right"]), wanted[chosen])
            seen += 1
    assert seen == 5  # clean, and twice two strengths
    found = figures(suites[False].journal.records, systems[:3], suites[False].scopes)
    assert {w["images"] for w in found["worst"] if w["defence"] == "comdefend-tiny"} == {3}
    assert {w["images"] for w in found["worst"] if w["defence"] == "bits-5"} == {
        len(suites[False].scopes["adaptive"])
    }
    assert [c["name"] for c in found["checks"]["comdefend-tiny"] if c["passed"] is None] == [
        c["name"] for c in found["checks"]["bits-5"] if c["passed"] is None
    ]


def test_batches_do_not_change_what_is_found_without_chance(suite, monkeypatch):
    preset = replace(QUICK, attacks=("FGSM", "BIM"), epsilons=(MAIN,))
    one = suite(preset, only=DEFENCES[:3])
    one.run()
    monkeypatch.setattr(run, "BATCH_PIXELS", 3 * 16 * 16)
    other = suite(preset, only=DEFENCES[:3])
    other.run()
    for a, b in zip(one.journal.records, other.journal.records, strict=True):
        assert a["right"] == b["right"]


SCOPES = {"all": torch.arange(6), "adaptive": torch.tensor([0, 2, 3, 5]), "few": torch.tensor([2, 5])}


def test_a_picture_survives_if_it_survives_every_attack_of_a_strength():
    records = [
        record("a", "clean", "111110", epsilon=None, threat_model="no attacker"),
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
        record("a", "noise", "000000", threat_model="no attacker"),
        record("a", "PGD", "000000", epsilon=16.0),
        record("a", "DeepFool", "000000", epsilon=None),
        record("b", "PGD", "000000"),
        record("a", "PGD", "000000", dial=3),
        record("a", "clean", "000000", epsilon=None, dial=3),
    ],
)
def test_other_records_are_nothing_to_the_worst_case(other):
    records = [record("a", "clean", "111110", epsilon=None), record("a", "FGSM", "011111")]
    wanted = [False, True, True, True, True, False]
    assert worst_case([other, *records], "a", 8.0, SCOPES).tolist() == wanted
    assert worst_case([*records, other], "a", 8.0, SCOPES).tolist() == wanted


def test_what_falls_at_a_strength_has_fallen_at_greater_ones():
    records = [record("a", "clean", "111110", epsilon=None), record("a", "PGD", "011111", epsilon=2.0)]
    standing = {epsilon: worst_case(records, "a", epsilon, SCOPES).tolist() for epsilon in (1.0, 2.0, 8.0)}
    assert standing[1.0] == [True, True, True, True, True, False]
    assert standing[2.0] == standing[8.0] == [False, True, True, True, True, False]


def test_bits_are_pictures():
    assert vector("1011").tolist() == [True, False, True, True]
    assert run._bits(vector("1011")) == "1011"
