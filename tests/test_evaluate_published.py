"""Published figures are those of the published journals, and of the weights that are here."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from app.places import PUBLISHED
from model.defences import AUTHORS
from model.evaluate import published
from model.evaluate.journal import JOURNAL, Heading, Journal
from model.evaluate.plan import choose_scopes, plan
from model.evaluate.presets import PRESETS
from model.evaluate.report import figures
from model.evaluate.systems import load_systems, transfer_source
from model.zoo import CLASSIFIERS, find_classifier

REPORTS = {
    name: report
    for name, report in published(PUBLISHED.reports).items()
    if (PUBLISHED.reports / name / JOURNAL).is_file() and report["classifier"] in CLASSIFIERS
}
"""Those with a journal; not of a classifier that comes with a file of somebody else."""


def of_systems(report: dict, names: list[str]) -> dict:
    """What a report says of some of its systems, in whatever order."""
    rows = {
        part: sorted((row for row in report[part] if row["defence"] in names), key=str)
        for part in ("cells", "worst", "dial")
    }
    return {
        **rows,
        "defences": {name: about for name, about in report["defences"].items() if name in names},
        "codecs": [name for name in report["codecs"] if name in names],
        "checks": {name: checks for name, checks in report["checks"].items() if name in names},
        "twins": report["twins"],
    }


def test_there_are_some():
    assert {"seed-cifar10", "seed-fashion-mnist", "seed-imagenet"} <= set(REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_follows_from_its_journal(name, tmp_path):
    report = REPORTS[name]
    path = tmp_path / JOURNAL
    shutil.copy(PUBLISHED.reports / name / JOURNAL, path)
    last = [line for line in map(json.loads, path.read_text().splitlines()) if "job" not in line][-1]
    preset, classifier = PRESETS[report["preset"]], report["classifier"]
    assert (last["preset"], last["evaluation"]["classifier"]) == (repr(preset), classifier)
    side = find_classifier(classifier).config().image_size
    names = [system for system in report["defences"] if system != AUTHORS]
    systems = load_systems(names, classifier, None, torch.rand(8, 3, side, side), torch.device("cpu"))
    scopes = choose_scopes(report["images"], preset)
    assert {scope: len(indices) for scope, indices in scopes.items()} == last["scopes"]
    jobs = plan(systems, preset, scopes, transfer_source(classifier))
    now = replace(Heading(**last), systems={system.name: system.identity for system in systems})
    journal = Journal(path, now)
    found = figures(journal.of(job.key for job in jobs), systems, scopes)
    assert of_systems(json.loads(json.dumps(found)), names) == of_systems(report, names)
    undone = [job.key for job in jobs if job.without(journal.systems(job.key))]
    assert undone == [key for key in report["not_run"] if AUTHORS not in key]
