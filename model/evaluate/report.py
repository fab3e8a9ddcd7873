"""What came out: records made into figures with their intervals."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from model.defences import Codec
from model.evaluate.checks import checks
from model.evaluate.journal import Record
from model.evaluate.plan import Scope
from model.evaluate.run import vector, worst_case
from model.evaluate.systems import PAIRS, System
from model.metrics import paired_interval, wilson_interval

Report = dict[str, Any]
Cell = dict[str, Any]
ALIKE = ("grey-box", "white-box")
"""Threat models of pictures that are made against the classifier alone."""
KEPT = (
    "defence", "threat_model", "attack", "epsilon", "steps", "gradient", "loss", "restarts", "cascade",
    "bits_flipped", "no_gradient", "zero_gradient", "success_rounded", "success_before_rounding",
    "median_l2_before_rounding", "median_linf_255_before_rounding", "median_l2_rounded",
    "median_linf_255_rounded", "seconds",
)  # fmt: skip


def figures(records: list[Record], systems: list[System], scopes: dict[Scope, Tensor]) -> Report:
    """All figures of a run, each under its name: from ``defences`` (names and what they are) and ``codecs``
    (names of those that are a ComDefend codec) to ``dial`` (accuracy by the number of planes)."""
    plain = [record for record in records if "dial" not in record]
    epsilons = tuple(sorted({r["epsilon"] for r in plain if r["threat_model"] in ALIKE}))
    return {
        "defences": {system.name: system.about for system in systems},
        "codecs": [system.name for system in systems if isinstance(system.defence, Codec)],
        "cells": [_cell(record, _baseline(record, plain)) for record in plain],
        "worst": [
            _worst(records, system, epsilon, scopes)
            for system in systems
            for epsilon in epsilons * (len(scopes["adaptive"]) > 0)
            if _tried(plain, system.name, epsilon)
        ],
        "twins": _twins(records, [system.name for system in systems], epsilons, scopes),
        "checks": {
            system.name: [
                check.to_dict() for check in checks(records, system.name, system.own(scopes), epsilons)
            ]
            for system in systems
            if any(r["defence"] == system.name and r["threat_model"] == "adaptive" for r in plain)
        },
        "dial": [
            {
                "defence": record["defence"],
                "planes": record["dial"],
                **{name: record[name] for name in ("threat_model", "attack", "epsilon")},
                **_accuracy(vector(record["right"])),
            }
            for record in records
            if "dial" in record
        ],
    }


def codecs(report: Report) -> list[str]:
    """Names of the defences that are a ComDefend codec, alone or with a classifier of its own (``@``)."""
    return report["codecs"]


def _knowing(record: Record, name: str) -> bool:
    """Whether it is of an attacker who knows the whole system."""
    return record["defence"] == name and record["threat_model"] in ("adaptive", "white-box")


def _tried(records: list[Record], name: str, epsilon: float) -> bool:
    """Whether an attacker who knows the whole system has attacked it at that strength."""
    return any(_knowing(record, name) and record["epsilon"] == epsilon for record in records)


def _accuracy(right: Tensor) -> Cell:
    count = int(right.sum())
    low, high = wilson_interval(count, len(right))
    return {
        "accuracy": count / len(right),
        "interval": [round(low, 4), round(high, 4)],
        "images": len(right),
    }


def _cell(record: Record, baseline: Record | None) -> Cell:
    """A record's figures; with its difference to no defence where both saw the very same pictures."""
    right = vector(record["right"])
    cell = {name: record[name] for name in KEPT if name in record} | _accuracy(right)
    if baseline is not None:
        cell |= _difference(right, vector(baseline["right"]))
    return cell


def _baseline(record: Record, records: Iterable[Record]) -> Record | None:
    """The undefended classifier's record on the same pictures."""
    own_pictures = record["threat_model"] == "grey-box" and "@" in record["defence"]
    own_pictures |= record["threat_model"] == "black-box" and record["attack"] != "transfer"
    if own_pictures or record["defence"] == "none" or record["threat_model"] == "adaptive":
        return None
    same = ("attack", "epsilon", "steps", "scope")
    for other in records:
        if other["defence"] == "none" and all(other[name] == record[name] for name in same):
            return other
    return None


def _twins(
    records: list[Record], names: list[str], epsilons: tuple[float, ...], scopes: dict[Scope, Tensor]
) -> list[Cell]:
    """How much more a pair leaves than its twin without a codec, in the worst case, paired."""
    if not len(scopes["adaptive"]):
        return []
    found = []
    for pair, twin in PAIRS.items():
        if not {pair, twin} <= set(names):
            continue
        for epsilon in epsilons:
            if not all(_tried(records, name, epsilon) for name in (pair, twin)):
                continue  # the run was stopped before both were attacked
            left, by_twin = (
                worst_case(records, name, epsilon, scopes)[scopes["adaptive"]] for name in (pair, twin)
            )
            found.append({"defence": pair, "twin": twin, "epsilon": epsilon, **_difference(left, by_twin)})
    return found


def _difference(right: Tensor, other: Tensor) -> Cell:
    """How much more often the first is right on the same pictures, (N,), with its paired interval."""
    gained, lost = int((right & ~other).sum()), int((~right & other).sum())
    low, high = paired_interval(gained, lost, len(right))
    return {
        "difference": round((gained - lost) / len(right), 4),
        "difference_interval": [round(low, 4), round(high, 4)],
    }


def _worst(records: list[Record], system: System, epsilon: float, scopes: dict[Scope, Tensor]) -> Cell:
    standing = worst_case(records, system.name, epsilon, scopes)[system.own(scopes)["adaptive"]]
    return {"defence": system.name, "epsilon": epsilon, **_accuracy(standing)}
