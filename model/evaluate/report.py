"""What came out: records made into figures with their intervals."""

from collections.abc import Iterable

from torch import Tensor

from model.defences import Codec
from model.evaluate.cells import Cell, Report
from model.evaluate.checks import checks
from model.evaluate.record import (
    CLASSIFIER_ALONE,
    WHOLE_SYSTEM,
    AttackRecord,
    NoiseRecord,
    PlanesRecord,
    Record,
    ScopeRecord,
    Scopes,
    UnboundedRecord,
    worst_case,
)
from model.evaluate.systems import PAIRS, System, has_own_classifier
from model.metrics import paired_interval, wilson_interval


def figures(records: list[Record], systems: list[System], scopes: Scopes) -> Report:
    """All figures of a run, each under its name: from ``defences`` (names of systems and what they are) and
    ``codecs`` (names of those that have a ComDefend codec) to ``dial`` (accuracy by the number of planes)."""
    whole = [record for record in records if isinstance(record, ScopeRecord)]
    attacks = [record for record in whole if isinstance(record, AttackRecord)]
    epsilons = tuple(sorted({r.epsilon for r in attacks if r.epsilon and r.threat_model in CLASSIFIER_ALONE}))
    worst, twins = [], []
    if len(scopes["adaptive"]):
        worst = [
            _worst(records, system, epsilon, scopes)
            for system in systems
            for epsilon in epsilons
            if _was_attacked(attacks, system.name, epsilon)
        ]
        twins = list(_twins(attacks, records, [system.name for system in systems], epsilons, scopes))
    return {
        "defences": {system.name: system.about for system in systems},
        "codecs": [system.name for system in systems if isinstance(system.defence, Codec)],
        "cells": [_cell(record, _baseline(record, whole)) for record in whole],
        "worst": worst,
        "twins": twins,
        "checks": {
            system.name: [
                check.to_dict() for check in checks(records, system.name, system.own_scopes(scopes), epsilons)
            ]
            for system in systems
            if any(r.system == system.name and r.threat_model == "adaptive" for r in attacks)
        },
        "dial": [_planes_cell(record) for record in records if isinstance(record, PlanesRecord)],
    }


def _was_attacked(attacks: list[AttackRecord], system: str, epsilon: float) -> bool:
    """Whether an attacker who knows the whole system has attacked it at that strength."""
    return any(
        record.system == system and record.threat_model in WHOLE_SYSTEM and record.epsilon == epsilon
        for record in attacks
    )


def _accuracy(correct: Tensor) -> Cell:
    count = int(correct.sum())
    low, high = wilson_interval(count, len(correct))
    return {
        "accuracy": count / len(correct),
        "interval": [round(low, 4), round(high, 4)],
        "images": len(correct),
    }


def _cell(record: ScopeRecord, baseline: ScopeRecord | None) -> Cell:
    """A record's figures; with its difference to no defence where both had the very same pictures."""
    cell = {
        "defence": record.system,
        "threat_model": record.threat_model,
        "attack": record.attack,
        "epsilon": record.epsilon,
        "steps": record.steps,
        "gradient": None,
        "loss": None,
        "restarts": 1,
        "cascade": False,
    }
    if isinstance(record, AttackRecord):
        cell |= {name: getattr(record, name) for name in ("gradient", "loss", "restarts", "cascade")}
        cell |= _where_measured(record, "bits_flipped", "no_gradient", "zero_gradient")
    elif isinstance(record, NoiseRecord):
        cell |= _where_measured(record, "bits_flipped")
    if isinstance(record, UnboundedRecord):
        for when, distances in (("before_rounding", record.before_rounding), ("rounded", record.rounded)):
            cell[f"success_{when}"] = distances.success
            cell[f"median_l2_{when}"] = distances.median_l2
            cell[f"median_linf_255_{when}"] = distances.median_linf_255
    cell |= {"seconds": record.seconds, **_accuracy(record.correct)}
    if baseline is not None:
        cell |= _difference(record.correct, baseline.correct)
    return cell


def _where_measured(record: Record, *names: str) -> Cell:
    return {name: getattr(record, name) for name in names if getattr(record, name) is not None}


def _planes_cell(record: PlanesRecord) -> Cell:
    return {
        "defence": record.system,
        "planes": record.planes,
        "threat_model": record.threat_model,
        "attack": record.attack,
        "epsilon": record.epsilon,
        **_accuracy(record.correct),
    }


def _baseline(record: ScopeRecord, records: Iterable[ScopeRecord]) -> ScopeRecord | None:
    """The undefended classifier's record on the same pictures."""
    of_classifier = record.threat_model in CLASSIFIER_ALONE
    made_for_it = of_classifier and has_own_classifier(record.system)
    made_for_it |= record.threat_model == "black-box" and record.attack != "transfer"
    if made_for_it or record.system == "none" or record.threat_model == "adaptive":
        return None
    for other in records:
        if other.system == "none" and _same_pictures(record, other):
            return other
    return None


def _same_pictures(one: ScopeRecord, other: ScopeRecord) -> bool:
    return (one.attack, one.epsilon, one.steps, one.scope) == (
        other.attack, other.epsilon, other.steps, other.scope,
    )  # fmt: skip


def _twins(
    attacks: list[AttackRecord],
    records: list[Record],
    names: list[str],
    epsilons: tuple[float, ...],
    scopes: Scopes,
) -> Iterable[Cell]:
    """How much more a pair leaves than its twin without a codec, in the worst case, paired."""
    for pair, twin in PAIRS.items():
        if not {pair, twin} <= set(names):
            continue
        for epsilon in epsilons:
            if not all(_was_attacked(attacks, name, epsilon) for name in (pair, twin)):
                continue  # the run was stopped before both were attacked
            left, by_twin = (
                worst_case(records, name, epsilon, scopes)[scopes["adaptive"]] for name in (pair, twin)
            )
            yield {"defence": pair, "twin": twin, "epsilon": epsilon, **_difference(left, by_twin)}


def _difference(correct: Tensor, other: Tensor) -> Cell:
    """How much more often the first is right on the same pictures, (N,), with its paired interval."""
    gained, lost = int((correct & ~other).sum()), int((~correct & other).sum())
    low, high = paired_interval(gained, lost, len(correct))
    return {
        "difference": round((gained - lost) / len(correct), 4),
        "difference_interval": [round(low, 4), round(high, 4)],
    }


def _worst(records: list[Record], system: System, epsilon: float, scopes: Scopes) -> Cell:
    standing = worst_case(records, system.name, epsilon, scopes)[system.own_scopes(scopes)["adaptive"]]
    return {"defence": system.name, "epsilon": epsilon, **_accuracy(standing)}
