from dataclasses import FrozenInstanceError, replace

import pytest

from model.defences import Codec
from model.evaluate.jobs import CleanJob, DirectJob, GreyBoxJob, NoiseJob, PlanesJob, TransferJob
from model.evaluate.plan import choose_scopes, plan, planes_tried, price
from model.evaluate.presets import MAIN, MI_FGSM
from tests.evaluations import AUTO_ATTACK, AUTO_ATTACK_RAND, DEFENCES, QUICK, WHOLE, Evaluation


def keys(jobs, kind=object) -> list[str]:
    return [job.key for job in jobs if isinstance(job, kind)]


def test_every_job_has_a_key_of_its_own(systems, coloured):
    for preset in (QUICK, WHOLE, replace(WHOLE, everywhere=True)):
        found = Evaluation(systems, coloured, preset, source=True).keys
        assert len(set(found)) == len(found)


def test_a_plan_is_data(systems):
    """It names what it is about, can be compared, and is the same again."""
    jobs, again = (plan(systems, WHOLE, choose_scopes(8, WHOLE), "tilted") for _ in range(2))
    assert jobs == again
    assert len({repr(job) for job in jobs}) == len(jobs)
    with pytest.raises(FrozenInstanceError):
        jobs[0].cost = 0


def test_the_most_telling_comes_first_and_what_takes_longest_last(systems):
    jobs = plan(systems, WHOLE, choose_scopes(8, WHOLE), "tilted")
    assert keys(jobs)[:4] == [f"clean {name}" for name in DEFENCES]
    kinds = list(dict.fromkeys(type(job) for job in jobs))
    assert kinds == [CleanJob, NoiseJob, GreyBoxJob, TransferJob, DirectJob, PlanesJob]
    assert keys(jobs, NoiseJob) == ["noise 8", "noise 16", "noise 2"]
    parts = [job for job in jobs if isinstance(job, DirectJob) and job.attack.name.startswith("AutoAttack")]
    assert jobs[-len(parts) :] == parts
    assert [job.attack.name for job in parts if job.system == "none"] == AUTO_ATTACK
    assert [job.attack.name for job in parts if job.system == "noise-8"] == AUTO_ATTACK_RAND


def test_what_is_slow_to_attack_is_attacked_last(systems, monkeypatch):
    """What an interrupted evaluation lacks are the dearest figures, of the fewest pictures."""
    monkeypatch.setattr("model.entries.SMALL", 8)
    slow = {system.name for system in systems if system.is_slow_to_attack}
    jobs = [job for job in plan(systems, WHOLE, choose_scopes(8, WHOLE)) if "AutoAttack" not in job.key]
    last = [isinstance(job, DirectJob) and job.system in slow for job in jobs]
    assert last == sorted(last)
    assert {False, True} == set(last)


def test_cascades_come_after_the_attacks_that_they_go_on_from(systems):
    jobs = [job for job in plan(systems, WHOLE, choose_scopes(8, WHOLE)) if isinstance(job, DirectJob)]
    first = min(i for i, job in enumerate(jobs) if job.cascade)
    assert not any(job.scope == "adaptive" and not job.cascade for job in jobs[first:])


def test_pictures_are_transferred_at_the_main_strength_alone(systems):
    def transferred(preset, source):
        return keys(plan(systems, preset, choose_scopes(8, preset), source), TransferJob)

    assert transferred(QUICK, "tilted") == ["transfer 8"]
    assert transferred(QUICK, None) == []
    assert transferred(replace(QUICK, epsilons=(2.0,)), "tilted") == []
    assert transferred(replace(QUICK, attacks=("BIM",)), "tilted") == []
    own = [systems[0], replace(systems[1], classifier_name="tilted", own_classifier=True)]
    (job,) = (
        job for job in plan(own, QUICK, choose_scopes(8, QUICK), "tilted") if isinstance(job, TransferJob)
    )
    assert (job.systems, job.attack) == (("none",), MI_FGSM)


def test_only_a_whole_codec_of_ours_has_planes_to_drop(systems):
    codec = systems[1]
    jobs = plan(systems, QUICK, choose_scopes(8, QUICK))
    (job,) = (job for job in jobs if isinstance(job, PlanesJob))
    assert (job.key, job.planes, job.epsilon, job.images) == (
        "dial comdefend-tiny: FGSM, 1; BIM, 10",
        tuple(range(1, 13)),
        MAIN,
        8,
    )
    assert [attack.name for attack in job.attacks] == ["FGSM", "BIM"]
    six = replace(codec, name="comdefend-tiny:6", defence=Codec(codec.defence.codec, planes=6))
    for other in (six, replace(codec, name="authors"), replace(codec, own_classifier=True), systems[2]):
        assert not other.planes_can_be_dropped


def test_a_long_code_is_looked_at_here_and_there():
    assert planes_tried(12) == tuple(range(1, 13))
    assert planes_tried(64) == (8, 16, 24, 32, 40, 48, 56, 64)


def test_the_pictures_of_the_scopes_lie_inside_each_other():
    scopes = choose_scopes(8, replace(QUICK, adaptive_images=5, few_images=3))
    assert scopes["all"].tolist() == list(range(8))
    assert len(scopes["adaptive"]) == 5
    assert len(scopes["few"]) == 3
    assert set(scopes["few"].tolist()) < set(scopes["adaptive"].tolist()) < set(range(8))
    assert len(choose_scopes(8, replace(QUICK, adaptive_images=99, few_images=99))["few"]) == 8


def test_what_costs_more_is_said_to(systems):
    """In passes of a picture through the classifier: eight through it, and eight through a codec, too."""
    jobs = {job.key: job for job in plan(systems, WHOLE, choose_scopes(8, WHOLE))}
    assert jobs["clean none"].cost == jobs["clean bits-5"].cost == 8
    assert jobs["clean comdefend-tiny"].cost > 8
    assert jobs["grey-box colours: BIM, 10, 8"].cost > jobs["grey-box colours: FGSM, 1, 8"].cost
    alone, cascade = (jobs[f"{manner} none: PGD, 2, margin, 8"].cost for manner in ("few", "cascade"))
    assert cascade < alone
    deepfool, c_w = (
        jobs[f"grey-box colours, few: {name}, 50, 2, 8, 16"].cost for name in ("DeepFool", "C&W")
    )
    assert deepfool < 2 * c_w  # its fifty steps are ten ways back each, but few pictures need more than five


def test_a_codec_costs_more_beside_a_classifier_of_photographs(systems, monkeypatch):
    """Which does less for each pixel than one of small pictures."""
    none, codec = systems[:2]
    before = price(codec) - price(none)
    monkeypatch.setattr("model.entries.SMALL", 8)
    assert codec.pictures == "photographs"
    assert price(none) == 1
    assert price(codec) - 1 > 3 * before > 0
