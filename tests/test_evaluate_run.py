import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from model.classifiers import Classifier, DefendedClassifier
from model.comdefend import ComDefend
from model.data import DataError, ImageSet, to_float
from model.evaluate import direct, measure
from model.evaluate.direct import Part
from model.evaluate.jobs import NoiseJob, PlanesJob, TransferJob
from model.evaluate.journal import Heading, Journal
from model.evaluate.plan import choose_scopes
from model.evaluate.presets import LARGE, MAIN, MI_FGSM, Preset
from model.evaluate.record import (
    AttackRecord,
    CleanRecord,
    NoiseRecord,
    PlanesRecord,
    Record,
    ScopeRecord,
    UnboundedRecord,
    worst_case,
)
from model.evaluate.report import figures
from model.evaluate.run import seed_of
from model.evaluate.systems import System
from tests.conftest import MARGINS, TINY_CODEC, TINY_LIGHT
from tests.evaluations import (
    AUTO_ATTACK,
    AUTO_ATTACK_RAND,
    DEFENCES,
    QUICK,
    SOME,
    WHOLE,
    Evaluation,
    Tilted,
    weak_autoattack,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick_autoattack(monkeypatch):
    weak_autoattack(monkeypatch)


@pytest.fixture
def evaluation(systems, coloured):
    """A function that makes the evaluation of the coloured pictures."""

    def make(
        preset: Preset = QUICK,
        seed: int = 0,
        journal: Journal | None = None,
        only: tuple[str, ...] = DEFENCES,
        source: bool = False,
        data: ImageSet = coloured,
    ) -> Evaluation:
        chosen = [system for system in systems if system.name in only]
        return Evaluation(chosen, data, preset, source=source, journal=journal, seed=seed)

    return make


@pytest.fixture(scope="module")
def whole(systems, coloured) -> Iterator[Evaluation]:
    """All that there is, measured once."""
    with pytest.MonkeyPatch.context() as patch:
        weak_autoattack(patch)
        found = Evaluation(systems, coloured, WHOLE, source=True)
        assert found.run() == []
        yield found


def timeless(records: list[Record]) -> list[Record]:
    return [replace(record, seconds=0.0) for record in records]


def cell(r: ScopeRecord) -> tuple:
    cascade = isinstance(r, AttackRecord) and r.cascade
    return r.system, r.threat_model, r.attack, r.epsilon, r.steps, r.scope, cascade


def test_every_cell_of_the_table_is_there(evaluation):
    quick = evaluation(source=True)
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
    cells = Counter(map(cell, quick.of()))
    assert set(cells) == wanted
    assert set(cells.values()) == {1}
    for r in quick.of():
        assert len(r.right) == {"all": 8, "adaptive": 4, "few": 2}[r.scope]
        assert r.seconds >= 0


def test_the_whole_suite_is_there_too(whole):
    cells = set(map(cell, whole.of()))
    for name in DEFENCES:
        grey, knowing = ("white-box",) * 2 if name == "none" else ("grey-box", "adaptive")
        for attack, steps in (("MI-FGSM", 10), ("APGD", 20), ("APGD-DLR", 20)):
            assert (name, grey, attack, MAIN, steps, "all", False) in cells
            assert (name, knowing, attack, MAIN, steps, "adaptive", True) in cells
            assert (name, knowing, attack, MAIN, steps, "few", False) in cells
        for scope, cascade in (("adaptive", True), ("few", False)):
            assert (name, "black-box", "Square", MAIN, 9, scope, cascade) in cells
            assert (name, knowing, "PGD", MAIN, 2, scope, cascade) in cells
        for part in AUTO_ATTACK_RAND if name == "noise-8" else AUTO_ATTACK:
            assert (name, knowing, part, MAIN, 100, "adaptive", True) in cells
            assert (name, knowing, part, MAIN, 100, "few", False) not in cells
        for attack in ("DeepFool", "C&W"):
            assert (name, grey, attack, MAIN, 50, "few", False) in cells
            assert (name, knowing, attack, MAIN, 50, "few", False) in cells
    cascades = whole.of(AttackRecord, cascade=True)
    assert {r.epsilon for r in cascades} == {MAIN}
    assert {r.gradient for r in cascades if r.system == "comdefend-tiny"} == {
        "gaussian", "sigmoid", "identity", None,
    }  # fmt: skip
    assert {r.loss for r in cascades if r.attack == "PGD"} == {"margin", "cross-entropy"}


def test_the_undefended_classifier_falls_where_the_pictures_margins_say(whole):
    for epsilon in WHOLE.epsilons:
        wanted = [margin > epsilon for margin in MARGINS[:-1]] + [False]  # the last label is wrong
        for attack in ("FGSM", "BIM"):
            found = whole.the(system="none", attack=attack, epsilon=epsilon)
            assert found.correct.tolist() == wanted
    assert whole.the(CleanRecord, system="none").right == "11111110"


def test_clean_accuracy_is_of_the_defended_system(evaluation, systems, coloured):
    shuffled = replace(coloured, labels=coloured.labels.roll(3))
    for data in (coloured, shuffled):
        found = evaluation(replace(QUICK, epsilons=(), adaptive_images=0), data=data)
        found.run()
        for system in systems[:3]:
            wanted = system.module(to_float(data.images)).argmax(1) == data.labels
            assert torch.equal(found.the(CleanRecord, system=system.name).correct, wanted)


def test_noise_moves_every_pixel_by_the_strength(evaluation, coloured, monkeypatch):
    found = evaluation(replace(QUICK, epsilons=(MAIN,), adaptive_images=0, attacks=()))
    shown = []
    monkeypatch.setattr(
        measure, "correct", lambda model, images, labels, seed: shown.append(images) or labels
    )
    (job,) = (job for job in found.jobs if isinstance(job, NoiseJob))
    found.do(job)
    moved = (shown[0] - to_float(coloured.images)) * 255
    assert torch.equal(moved.round().abs(), torch.full_like(moved, 8))
    assert moved.mean().abs() < 1
    assert all(torch.equal(one, shown[0]) for one in shown)


def spy_on_pgd(monkeypatch) -> list[tuple]:
    """What each descent attacked: the model, how many pictures, and whether it might stop early."""
    runs: list[tuple] = []
    descend = measure.pgd

    def spy(model, x, labels, epsilon, descent, generator, stop_early):
        runs.append((model, len(x), descent, stop_early))
        return descend(model, x, labels, epsilon, descent, generator, stop_early)

    monkeypatch.setattr(measure, "pgd", spy)
    return runs


def test_each_attacker_attacks_what_it_knows(evaluation, systems, monkeypatch):
    runs = spy_on_pgd(monkeypatch)
    evaluation(replace(QUICK, epsilons=(MAIN,), attacks=("FGSM", "MI-FGSM")), source=True).run()
    classifier = systems[0].classifier
    grey = [entry for entry in runs if entry[0] is classifier]
    transfer = [entry for entry in runs if isinstance(entry[0], Tilted)]
    direct = [entry for entry in runs if isinstance(entry[0], DefendedClassifier)]
    assert len(grey) + len(transfer) + len(direct) == len(runs)
    assert {entry[1:] for entry in grey} == {(8, replace(MI_FGSM.descent, steps=1, momentum=0.0), False)}
    assert [entry[1:] for entry in transfer] == [(8, MI_FGSM.descent, False)]
    # The last of four pictures is lost unattacked. A noisy defence is no one's to stop early at.
    one_step = [entry for entry in direct if entry[2].steps == 1]
    assert [entry[0].codec for entry in one_step] == [system.defence for system in systems[1:]]
    assert [entry[1] for entry in one_step] == [3, 3, 3]
    assert [entry[2].draws for entry in one_step] == [1, 1, 10]
    assert [entry[3] for entry in one_step] == [True, True, False]


def test_transferred_pictures_are_the_other_classifiers(evaluation):
    preset = replace(QUICK, epsilons=(MAIN,), adaptive_images=0, attacks=("MI-FGSM",))
    found = evaluation(preset, source=True)
    found.run()
    # Half of the pixels move, so a margin of more than four stands.
    assert found.the(system="none", attack="transfer").right == "01111110"


def test_nobody_transfers_from_a_classifier_that_is_not_there(evaluation):
    found = evaluation()
    job = TransferJob(source="tilted", systems=("none",), attack=MI_FGSM, epsilon=MAIN, cost=1)
    with pytest.raises(ValueError, match="tilted is not there"):
        found.do(job)


def test_a_cascade_attacks_only_what_still_stands(evaluation, monkeypatch):
    runs = spy_on_pgd(monkeypatch)
    found = evaluation(replace(WHOLE, attacks=("PGD",), epsilons=(MAIN,)), only=("none", "bits-5"))
    attacked = {}
    for job in found.jobs:
        runs.clear()
        found.do(job)
        attacked[job.key] = sum(entry[1] for entry in runs)
    # Margins of 1.5, 6.5 and 12.5, and a picture lost already: one stands at 8/255.
    assert attacked["adaptive bits-5: PGD, 2, 8"] == 3
    assert attacked["cascade bits-5: PGD, 2, margin, 8"] == 1
    assert attacked["cascade none: PGD, 2, margin, 8"] == 1
    assert attacked["few bits-5: PGD, 2, margin, 8"] == 3


def test_what_fell_once_stays_fallen_in_a_cascade(whole):
    for name in DEFENCES:
        before: list[Record] = []
        for r in whole.of(system=name):
            if isinstance(r, AttackRecord) and r.cascade:
                standing = worst_case(before, name, MAIN, whole.scopes)[whole.scopes["adaptive"]]
                assert not (r.correct & ~standing).any()
            before.append(r)
        assert any("1" in r.right for r in whole.of(AttackRecord, system=name, cascade=True))


def test_a_stand_in_is_used_for_its_own_attack_alone(evaluation, systems, monkeypatch):
    codec = systems[1].defence
    used = []
    found = evaluation(replace(WHOLE, attacks=("PGD",), epsilons=(MAIN,)), only=("none", "comdefend-tiny"))
    craft = measure.craft

    def spy(model, *args, **kwargs):
        used.append(codec.gradient)
        return craft(model, *args, **kwargs)

    monkeypatch.setattr(measure, "craft", spy)
    for job in found.jobs:
        used.clear()
        found.do(job)
        form = next((form for form in ("sigmoid", "identity") if form in job.key), "gaussian")
        assert set(used) <= {form}
        assert codec.gradient == "gaussian"
    with pytest.raises(RuntimeError, match="on purpose"), measure.stand_in(systems[1], "sigmoid"):
        raise RuntimeError("on purpose")
    assert codec.gradient == "gaussian"


def test_what_the_first_gradient_was_like_is_kept_of_descents(whole):
    pgd = whole.the(
        AttackRecord, system="bits-5", attack="PGD", epsilon=MAIN, threat_model="adaptive",
        steps=2, scope="adaptive", cascade=False,
    )  # fmt: skip
    assert pgd.no_gradient == 0
    assert pgd.zero_gradient < 0.1
    square = whole.the(AttackRecord, system="bits-5", attack="Square", scope="few")
    assert square.no_gradient is None


def test_flipped_bits_are_counted_for_codecs(whole, systems, coloured, monkeypatch):
    codec = systems[1].defence
    shares = []
    for epsilon in WHOLE.epsilons:
        records = whole.of(NoiseRecord, epsilon=epsilon)
        assert [r.system for r in records if r.bits_flipped is not None] == ["comdefend-tiny"]
        shares.append(records[1].bits_flipped)
    assert 0 < shares[0] < shares[1] < shares[2] < 0.5
    x = to_float(coloured.images)
    found = Evaluation([systems[1]], coloured, replace(QUICK, attacks=("BIM",), epsilons=(MAIN,)))
    (job,) = (job for job in found.jobs if job.key == "grey-box colours: BIM, 10, 8")
    monkeypatch.setattr(measure, "craft", lambda *_, **__: measure.Crafted(1 - x, None, None))
    (record,) = found.do(job)
    wanted = (codec.codec.compress(x) != codec.codec.compress(1 - x)).float().mean().item()
    assert record.bits_flipped == pytest.approx(wanted)


def test_planes_are_kept_from_one_to_all(whole, systems, coloured):
    kept = [r for r in whole.records if isinstance(r, PlanesRecord)]
    assert {r.system for r in kept} == {"comdefend-tiny"}
    assert Counter((r.attack, r.threat_model, r.epsilon) for r in kept) == {
        ("clean", "no attacker", None): 12,
        ("FGSM", "grey-box", MAIN): 12,
        ("BIM", "grey-box", MAIN): 12,
    }
    codec, classifier = systems[1].defence.codec, systems[1].classifier
    x = to_float(coloured.images)
    for r in kept:
        if r.attack == "clean":
            rebuilt = codec.reconstruct(codec.compress(x, r.planes))
            assert torch.equal(r.correct, classifier(rebuilt).argmax(1) == coloured.labels)
    whole_code = {r.attack: r.right for r in kept if r.planes == 12}
    for attack, right in whole_code.items():
        wanted = (r for r in whole.of(system="comdefend-tiny", attack=attack, scope="all")
                  if r.epsilon in (None, MAIN))  # fmt: skip
        assert right == next(wanted).right


@pytest.mark.parametrize("kept", [3, ((0, 3), (2, 1))])
def test_the_dial_goes_beyond_what_a_codec_keeps_by_itself(whole, systems, coloured, monkeypatch, kept):
    codec = systems[1].defence.codec
    monkeypatch.setattr(codec, "config", replace(codec.config, kept=kept))
    found = Evaluation([systems[1]], coloured, WHOLE)
    (job,) = (job for job in found.jobs if isinstance(job, PlanesJob))
    wanted = {(r.attack, r.planes): r.right for r in whole.records if isinstance(r, PlanesRecord)}
    assert {(r.attack, r.planes): r.right for r in found.do(job)} == wanted


def test_an_attack_without_a_strength_counts_only_inside_the_ball(whole):
    records = whole.of(UnboundedRecord, system="none", attack="DeepFool")
    # Margins of 1.5, 6.5, 12.5, and the wrong label.
    assert {r.epsilon: r.right for r in records} == {2.0: "0110", MAIN: "0010", 16.0: "0000"}
    assert len({(r.rounded, r.before_rounding) for r in records}) == 1
    r = records[0]
    assert r.rounded.success == r.before_rounding.success == 1
    assert r.before_rounding.median_linf_255 == pytest.approx(6.5, abs=1)
    assert r.rounded.median_linf_255 == pytest.approx(round(r.rounded.median_linf_255), abs=1e-3)
    assert r.rounded.median_l2 == pytest.approx(r.rounded.median_linf_255 / 255 * 768**0.5, rel=0.5)


def test_attacks_without_a_strength_may_see_all_pictures(systems, coloured, monkeypatch):
    """A slow system a part of them."""
    monkeypatch.setattr("model.entries.SMALL", 8)
    preset = replace(QUICK, unbounded="all", attacks=("DeepFool",), adaptive_images=0, costly_images=3)
    found = Evaluation(systems[:3], coloured, preset)
    found.run()
    records = found.of(UnboundedRecord, epsilon=MAIN)
    scopes = {r.system: (r.scope, len(r.right)) for r in records}
    assert scopes == {"none": ("all", 8), "comdefend-tiny": ("part", 3), "bits-5": ("all", 8)}
    assert found.the(UnboundedRecord, system="none", epsilon=MAIN).right == "".join(
        str(int(margin > MAIN)) for margin in [*MARGINS[:-1], 0.0]
    )


def test_the_records_follow_the_seed(evaluation):
    first, again, other = (evaluation(SOME, seed=seed, source=True) for seed in (3, 3, 4))
    for found in (first, again, other):
        torch.manual_seed(len(found.records))
        before = torch.get_rng_state()
        found.run()
        assert torch.equal(torch.get_rng_state(), before)
    assert timeless(first.records) == timeless(again.records)
    flips = [[r.bits_flipped for r in found.of(NoiseRecord)] for found in (first, other)]
    assert flips[0] != flips[1]


def test_attacks_without_a_strength_follow_the_seed_too(evaluation):
    preset = replace(SOME, attacks=("DeepFool", "PGD"))
    found = [evaluation(preset, only=("none", "noise-8")) for _ in range(2)]
    for one, state in zip(found, (1, 2), strict=True):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        one.run()
        assert torch.equal(torch.get_rng_state(), before)
    assert timeless(found[0].records) == timeless(found[1].records)


def test_nothing_is_measured_twice(whole):
    cells = Counter((*cell(r), getattr(r, "loss", None), getattr(r, "gradient", None)) for r in whole.of())
    assert [name for name, count in cells.items() if count > 1] == []


def test_the_whole_suite_does_without_adaptive_pictures(evaluation):
    assert evaluation(replace(WHOLE, adaptive_images=0)).run() == []


def test_an_attack_without_a_strength_may_be_the_only_one(evaluation):
    assert evaluation(replace(WHOLE, attacks=("DeepFool",))).run() == []


def test_every_job_has_a_seed_of_its_own(evaluation):
    jobs = evaluation(WHOLE).jobs
    assert len({seed_of(job, 0) for job in jobs}) == len(jobs)
    (clean,) = (job for job in jobs if job.key == "clean none")
    (same,) = (job for job in evaluation(QUICK).jobs if job.key == "clean none")
    assert seed_of(clean, 0) == seed_of(same, 0)
    assert seed_of(clean, 0) != seed_of(clean, 1)


class Stopped(RuntimeError):
    pass


def heading_of(names: tuple[str, ...], preset: Preset = SOME) -> Heading:
    """Of the coloured pictures' evaluation."""
    scopes = {scope: len(indices) for scope, indices in choose_scopes(8, preset).items()}
    return Heading({"seed": 0}, dict.fromkeys(names), scopes, repr(preset))


def test_a_cascade_goes_by_the_attacks_of_its_own_plan_alone(evaluation, tmp_path):
    """Not by what else a journal holds: what an attack left standing that nobody asked for now."""
    path = tmp_path / "journal.jsonl"
    fewer = replace(SOME, attacks=("MI-FGSM", "APGD"))
    whole = evaluation(SOME, journal=Journal(path, heading_of(DEFENCES)))
    whole.run()
    after = evaluation(fewer, journal=Journal(path, heading_of(DEFENCES, fewer)))
    execute, attacks = after.executor.execute, {}

    def watched(job, seed, before, *parts):
        attacks[job.key] = {record.attack for record in before}
        return execute(job, seed, before, *parts)

    after.executor.execute = watched
    assert after.run() == []
    assert {r.attack for r in whole.records} > {"PGD", "Square"}
    assert attacks["cascade none: APGD, 20, 8"] == {"clean", "noise", "MI-FGSM", "APGD"}
    assert not any({"PGD", "Square"} & before for before in attacks.values())


@pytest.mark.parametrize("stop_at", [3, 25, 45])
def test_an_interrupted_run_goes_on_to_the_same_records(evaluation, tmp_path, monkeypatch, stop_at):
    unbroken = evaluation(SOME, source=True)
    unbroken.run()
    path = tmp_path / "journal.jsonl"

    heading = heading_of(DEFENCES)
    broken = evaluation(SOME, journal=Journal(path, heading), source=True)
    count = itertools.count()
    correct = measure.correct

    def stopping(*args):
        if next(count) == stop_at:
            raise Stopped
        return correct(*args)

    with monkeypatch.context() as patch:
        patch.setattr(measure, "correct", stopping)
        with pytest.raises(Stopped):
            broken.run()
    assert 0 < len(broken.journal.done) < len(unbroken.journal.done)
    with path.open("ab") as file:
        file.write(b'{"job": "half')

    resumed = evaluation(SOME, journal=Journal(path, heading), source=True)
    done = dict(resumed.journal.done)
    assert list(done) == list(broken.journal.done)
    assert resumed.run() == []
    assert timeless(resumed.records) == timeless(unbroken.records)
    assert all(resumed.journal.done[key] == records for key, records in done.items())
    assert timeless(Journal(path, heading).records) == timeless(unbroken.records)
    with pytest.raises(DataError, match="holds another evaluation"):
        Journal(path, replace(heading, evaluation={"seed": 1}))


@pytest.fixture
def one_by_one(monkeypatch) -> Preset:
    """A preset all of whose attacks on a defended system are of parts of one picture each."""
    monkeypatch.setattr(direct, "PART_PASSES", 1)
    return replace(WHOLE, attacks=("PGD", "Square"), epsilons=(MAIN,))


@pytest.mark.parametrize("stop_at", [1, 4, 8])
def test_an_interruption_costs_a_part_of_a_job(evaluation, one_by_one, tmp_path, monkeypatch, stop_at):
    unbroken = evaluation(one_by_one)
    unbroken.run()
    path, heading = tmp_path / "journal.jsonl", heading_of(DEFENCES, one_by_one)
    broken = evaluation(one_by_one, journal=Journal(path, heading))
    count, attacked = itertools.count(), []
    attack_some = direct._attack_some

    def stopping(system, x, labels, attack, *rest):
        if next(count) == stop_at:
            raise Stopped
        attacked.append((system.name, attack.key, *rest, x.numpy().tobytes()))
        assert len(x) == 1
        return attack_some(system, x, labels, attack, *rest)

    monkeypatch.setattr(direct, "_attack_some", stopping)
    with pytest.raises(Stopped):
        broken.run()
    (job,) = broken.journal.begun
    assert job not in broken.journal.done
    assert "adaptive" in job

    resumed = evaluation(one_by_one, journal=Journal(path, heading))
    assert resumed.journal.begun == broken.journal.begun
    assert resumed.run() == []
    assert resumed.journal.begun == {}
    assert timeless(resumed.records) == timeless(unbroken.records)
    assert timeless(Journal(path, heading).records) == timeless(unbroken.records)
    assert len(attacked) == len(set(attacked))  # nothing twice


def test_parts_of_a_system_that_is_another_now_are_done_again(tmp_path):
    path, heading = tmp_path / "journal.jsonl", heading_of(DEFENCES)
    journal = Journal(path, heading)
    journal.write_part("adaptive bits-5: PGD, 2, 8", "bits-5", 0, Part("1"))
    assert Journal(path, heading).begun == journal.begun
    assert Journal(path, replace(heading, systems=heading.systems | {"bits-5": 1})).begun == {}
    assert Journal(path, replace(heading, preset="")).begun == {}
    assert Journal(path, heading).begun == journal.begun


def test_the_deadline_ends_a_job_after_the_part_that_it_is_at(evaluation, one_by_one):
    unbroken = evaluation(one_by_one)
    unbroken.run()
    found = evaluation(one_by_one)
    begun = set()
    while found.run(deadline=0, clock=itertools.count().__next__):  # for one job, or one part of it
        begun |= found.journal.begun.keys()
        assert len(found.journal.begun) <= 1
    assert {"adaptive bits-5: PGD, 2, 8", "cascade bits-5: PGD, 2, margin, 8"} & begun
    assert timeless(found.records) == timeless(unbroken.records)


def test_one_more_system_is_measured_alone(evaluation, tmp_path, monkeypatch):
    """To the same figures as if it had been there from the start."""
    path = tmp_path / "journal.jsonl"
    before = tuple(name for name in DEFENCES if name != "bits-5")
    few = evaluation(SOME, journal=Journal(path, heading_of(before)), only=before, source=True)
    few.run()

    shown, all_of = [], measure.correct
    monkeypatch.setattr(measure, "correct", lambda model, *rest: shown.append(model) or all_of(model, *rest))
    more = evaluation(SOME, journal=Journal(path, heading_of(DEFENCES)), source=True)
    assert more.run() == []
    added = more.executor.systems["bits-5"]
    assert {model.codec for model in shown} == {added.defence}
    assert {r.system for r in more.records if r not in few.records} == {"bits-5"}
    monkeypatch.undo()
    weak_autoattack(monkeypatch)
    at_once = evaluation(SOME, source=True)
    at_once.run()
    systems = list(at_once.executor.systems.values())
    found, wanted = (timeless(e.journal.of(e.keys)) for e in (more, at_once))
    assert found == wanted
    assert figures(found, systems, more.scopes) == figures(wanted, systems, at_once.scopes)


def test_no_job_begins_after_the_deadline(evaluation):
    found = evaluation()
    assert found.run(deadline=1, clock=lambda: 2) == found.keys
    assert found.records == []

    now = iter(range(100))
    left = found.run(deadline=6, clock=lambda: next(now))  # the clock shows 0, 1, ... before the jobs
    assert left == found.keys[7:]
    assert list(found.journal.done) == found.keys[:7]
    assert found.run(deadline=None) == []
    unbroken = evaluation()
    unbroken.run()
    assert timeless(found.records) == timeless(unbroken.records)


def test_what_is_done_is_not_done_again(evaluation, monkeypatch):
    found = evaluation()
    found.run()
    monkeypatch.setattr(measure, "correct", None)
    monkeypatch.setattr(measure, "craft", None)
    before = found.records
    assert found.run() == []
    assert found.records == before


def test_without_adaptive_pictures_no_one_adapts(evaluation):
    found = evaluation(replace(QUICK, adaptive_images=0))
    found.run()
    assert {r.threat_model for r in found.records} == {"no attacker", "white-box", "grey-box"}


def test_a_classifier_of_its_own_is_attacked_for_itself(systems, coloured, monkeypatch):
    runs = spy_on_pgd(monkeypatch)
    other = Tilted(systems[0].classifier).eval()
    mixed = [*systems[:2], System("comdefend-tiny@other", systems[1].defence, other, "other", True, "")]
    found = Evaluation(mixed, coloured, replace(QUICK, epsilons=(MAIN,), attacks=("BIM",)))
    found.run()
    grey = [entry[0] for entry in runs if entry[1] == 8]
    assert [type(model) for model in grey[:2]] == [Classifier, Tilted]
    told = {r.system: r for r in found.of(AttackRecord, attack="BIM", scope="all")}
    assert set(told) == {"none", "comdefend-tiny", "comdefend-tiny@other"}
    assert told["comdefend-tiny"].bits_flipped is not None
    assert told["comdefend-tiny@other"].bits_flipped is None
    assert {r.system for r in found.records if isinstance(r, PlanesRecord)} == {"comdefend-tiny"}


def test_batches_are_smaller_for_larger_pictures():
    def sizes(count: int, side: int, model: nn.Module) -> list[int]:
        labels = torch.zeros(count, dtype=torch.long)
        return [len(x) for x, _ in measure.batches(torch.zeros(count, 3, side, side), labels, model)]

    paper, light = ComDefend(TINY_CODEC), nn.Sequential(ComDefend(TINY_LIGHT))
    assert sizes(5, 224, paper) == [2, 2, 1]
    assert sizes(5, 32, paper) == [5]
    assert sizes(9, 224, light) == [8, 1]
    assert sizes(101, 32, light) == [100, 1]


def test_what_takes_a_second_a_picture_gets_a_part_of_them(systems, coloured, monkeypatch):
    """A codec of the paper's shape before large pictures: fewer, but the very same ones."""
    preset = replace(QUICK, epsilons=(4.0, MAIN), attacks=("FGSM", "PGD"), costly_images=3)
    found = {}
    for small in (True, False):
        monkeypatch.setattr("model.entries.SMALL", 64 if small else 8)
        assert systems[1].is_slow is not small
        found[small] = Evaluation(systems[:3], coloured, preset)
        found[small].run()
    scopes = found[False].scopes
    assert len(scopes["costly"]) == 3
    assert torch.equal(scopes["part"], scopes["adaptive"])
    mine = {small: one.of(system="comdefend-tiny") for small, one in found.items()}
    whole = {(r.attack, r.epsilon, r.threat_model, r.steps): r for r in mine[True]}
    compared = 0
    for scope in ("part", "costly"):
        assert {r.system for r in found[False].of(scope=scope)} == {"comdefend-tiny"}
    for r in mine[False]:
        assert r.scope == ("costly" if r.threat_model == "adaptive" else "part")
        assert len(r.right) == len(scopes[r.scope])
        if r.attack in ("FGSM", "clean"):
            every = whole[r.attack, r.epsilon, r.threat_model, r.steps]
            assert torch.equal(r.correct, every.spread(found[True].scopes)[scopes[r.scope]])
            compared += 1
    assert compared == 5  # clean, and twice two strengths
    told = figures(found[False].records, systems[:3], found[False].scopes)
    assert {w["images"] for w in told["worst"] if w["defence"] == "comdefend-tiny"} == {3}
    assert {w["images"] for w in told["worst"] if w["defence"] == "bits-5"} == {
        len(found[False].scopes["adaptive"])
    }
    assert [c["name"] for c in told["checks"]["comdefend-tiny"] if c["passed"] is None] == [
        c["name"] for c in told["checks"]["bits-5"] if c["passed"] is None
    ]


def test_what_is_slow_to_attack_is_attacked_less(systems, coloured, monkeypatch):
    """Before large pictures, a noisy defence sees all that is made against the classifier, and is attacked
    itself on few, as a codec of the paper's shape is; none of them is attacked out of curiosity."""
    monkeypatch.setattr("model.entries.SMALL", 8)
    preset = replace(SOME, adaptive_images=6, few_images=4, costly_images=2)
    preset = replace(preset, attacks=(*preset.attacks, "DeepFool"))
    chosen = [system for system in systems if system.name in DEFENCES]
    slow = [system.name for system in chosen if system.is_slow_to_attack]
    assert slow == ["comdefend-tiny", "noise-8"]
    found = Evaluation(chosen, coloured, preset)
    found.run()
    attacked = {name: found.of(AttackRecord, system=name, threat_model="adaptive") for name in DEFENCES}
    assert {name: {r.scope for r in records} for name, records in attacked.items()} == {
        "none": set(),
        "comdefend-tiny": {"costly"},
        "bits-5": {"adaptive", "few"},
        "noise-8": {"costly"},
    }
    assert {r.attack for r in attacked["noise-8"] if not r.cascade} == {"PGD"}
    assert {r.attack for r in attacked["bits-5"] if not r.cascade} == {*preset.attacks} - {"Square"}
    for name in slow:
        grey = {r.attack: r.scope for r in found.of(AttackRecord, system=name, threat_model="grey-box")}
        every = "part" if name == "comdefend-tiny" else "all"
        assert grey == {"PGD": every, "MI-FGSM": every, "APGD": every, "DeepFool": "few"}
    assert {r.system for r in found.of() if isinstance(r, PlanesRecord)} == set()
    told = figures(found.records, chosen, found.scopes)
    assert {w["defence"]: w["images"] for w in told["worst"]} == {
        "none": 6, "comdefend-tiny": 2, "bits-5": 6, "noise-8": 2,
    }  # fmt: skip


def test_batches_do_not_change_what_is_found_without_chance(evaluation, monkeypatch):
    preset = replace(QUICK, attacks=("FGSM", "BIM"), epsilons=(MAIN,))
    one = evaluation(preset, only=DEFENCES[:3])
    one.run()
    monkeypatch.setattr(measure, "BATCH_PIXELS", 3 * 16 * 16)
    other = evaluation(preset, only=DEFENCES[:3])
    other.run()
    for a, b in zip(one.records, other.records, strict=True):
        assert a.right == b.right
