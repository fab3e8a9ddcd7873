import io

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from model.data import to_float
from model.evaluate import plots


def cell(
    defence: str, attack: str, epsilon: float | None, threat_model: str, accuracy: float, **more: object
) -> dict:
    interval = [accuracy - 0.05, accuracy + 0.1]
    return {"defence": defence, "attack": attack, "epsilon": epsilon, "threat_model": threat_model,
            "accuracy": accuracy, "interval": interval, "images": 1000, **more}  # fmt: skip


@pytest.fixture
def report() -> dict:
    codec = "comdefend-cifar10"
    return {
        "defences": {"none": "no defence", codec: "ComDefend", "jpeg-75": "JPEG", "jpeg-50": "JPEG"},
        "codecs": [codec],
        "cells": [
            *(cell(name, "clean", None, "no attacker", 0.9) for name in ("none", codec, "jpeg-75")),
            cell("none", "BIM", 8, "white-box", 0.1),
            cell("none", "BIM", 2, "white-box", 0.4),
            cell(codec, "BIM", 8, "adaptive", 0.06),
            cell(codec, "BIM", 8, "grey-box", 0.55),
            cell(codec, "BIM", 2, "grey-box", 0.8),
            cell("jpeg-75", "BIM", 8, "grey-box", 0.3),
            cell(codec, "PGD", 8, "grey-box", 0.5, bits_flipped=0.06),
            cell(codec, "PGD", 2, "grey-box", 0.7, bits_flipped=0.02),
            cell(codec, "noise", 2, "no attacker", 0.9, bits_flipped=0.01),
        ],
        "worst": [
            {"defence": codec, "epsilon": 8, "accuracy": 0.05, "interval": [0, 0.1], "images": 100},
            {"defence": codec, "epsilon": 2, "accuracy": 0.45, "interval": [0.4, 0.5], "images": 100},
        ],
        "dial": [
            {"defence": codec, "planes": planes, "attack": attack, "threat_model": who, "epsilon": None,
             "accuracy": planes / 12 * share, "interval": [0, 1], "images": 300}
            for attack, who, share in (("clean", "no attacker", 1), ("BIM", "grey-box", 0.5))
            for planes in (12, 6, 1)
        ],
    }  # fmt: skip


def lines(panel: Axes) -> dict[str, tuple[list, list]]:
    """The points of every named line of a panel."""
    found = {line.get_label(): line for line in panel.get_lines()}
    found |= {c.get_label(): c[0] for c in panel.containers if isinstance(c, ErrorbarContainer)}
    return {
        label: (list(line.get_xdata()), pytest.approx(list(line.get_ydata())))
        for label, line in found.items()
        if not label.startswith("_")
    }


def save(figure: Figure, kind: str = "svg") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()


def test_accuracy_is_drawn_where_the_figures_are(report):
    figure = plots.accuracy_against_strength(report)
    grey, adaptive = figure.axes
    assert lines(grey) == {
        "none": ([0, 2, 8], [90, 40, 10]),
        "comdefend-cifar10": ([0, 2, 8], [90, 80, 55]),
        "jpeg-75": ([0, 8], [90, 30]),
    }
    assert lines(adaptive) == {"comdefend-cifar10": ([0, 2, 8], [90, 45, 5])}
    assert "grey-box" in grey.get_title()
    assert "adaptive" in adaptive.get_title()
    assert save(figure).startswith(b"<?xml")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines(grey))


def test_the_whiskers_are_the_intervals(report):
    grey, _ = plots.accuracy_against_strength(report).axes
    container = next(c for c in grey.containers if c.get_label() == "comdefend-cifar10")
    (bars,) = container[2]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert ends == [pytest.approx(pair) for pair in ([85, 100], [75, 90], [50, 65])]


def test_each_defence_looks_different(report):
    found = plots.styles(report)
    assert list(found) == list(report["defences"])
    assert found["none"]["linestyle"] == ":"
    assert found["comdefend-cifar10"]["color"] == plots.OURS[0]
    assert found["jpeg-75"]["color"] == found["jpeg-50"]["color"]
    assert found["jpeg-75"]["marker"] != found["jpeg-50"]["marker"]
    codecs = [f"comdefend-{i}" for i in range(6)]
    many = {f"jpeg-{quality}": "" for quality in range(1, 19)} | dict.fromkeys(codecs, "")
    assert len(plots.styles({"defences": many, "codecs": codecs})) == 24


def test_flipped_bits_start_at_nothing_and_rise_with_the_strength(report):
    (panel,) = plots.flipped_bits(report).axes
    assert lines(panel) == {
        "comdefend-cifar10, PGD": ([0, 2, 8], [0, 2, 6]),
        "comdefend-cifar10, noise": ([0, 2], [0, 1]),
    }
    assert save(plots.flipped_bits(report))


def test_the_dial_has_a_panel_a_codec_and_a_line_an_attack(report):
    (panel,) = plots.dial(report).axes
    assert lines(panel) == {
        "clean": ([1, 6, 12], [100 / 12, 50, 100]),
        "BIM, 8/255, grey-box": ([1, 6, 12], [50 / 12, 25, 50]),
    }
    other = [{**d, "defence": "comdefend-cifar10-purify"} for d in report["dial"]]
    figure = plots.dial(report | {"dial": report["dial"] + other})
    assert [panel.get_title() for panel in figure.axes] == ["comdefend-cifar10", "comdefend-cifar10-purify"]
    assert save(figure)


@pytest.mark.slow
def test_many_dials_stand_in_rows_of_three(report):
    many = [{**d, "defence": f"codec {i}"} for i in range(5) for d in report["dial"]]
    figure = plots.dial(report | {"dial": many})
    assert [panel.get_title() for panel in figure.axes] == [f"codec {i}" for i in range(5)]
    assert [panel.get_subplotspec().colspan.start for panel in figure.axes] == [0, 1, 2, 0, 1]
    assert [panel.get_ylabel() for panel in figure.axes] == ["accuracy, %", "", "", "accuracy, %", ""]
    assert save(figure)


def test_the_sheet_shows_what_each_codec_makes_of_each_picture(systems, coloured):
    x = to_float(coloured.images[:3])
    with torch.no_grad():
        figure = plots.examples(systems, {"clean": x, "BIM, 8/255": 1 - x})
    panels = np.array(figure.axes).reshape(4, 3)
    assert [line[0].texts[0].get_text() for line in panels] == [
        "clean", "clean, comdefend-tiny", "BIM, 8/255", "BIM, 8/255, comdefend-tiny",
    ]  # fmt: skip
    codec = systems[1].defence
    for line, wanted in zip(panels, (x, codec(x), 1 - x, codec(1 - x)), strict=True):
        for panel, picture in zip(line, wanted, strict=True):
            shown = np.asarray(panel.images[0].get_array())
            assert np.allclose(shown, picture.permute(1, 2, 0).numpy(), atol=1e-6)
    assert save(figure, "png").startswith(b"\x89PNG")


def test_a_report_of_hardly_anything_can_be_drawn(report):
    few = report | {"cells": report["cells"][:1], "worst": []}
    (panel,) = plots.accuracy_against_strength(few).axes  # nobody was adaptive
    assert "grey-box" in panel.get_title()
    assert lines(panel) == {}
    assert save(plots.accuracy_against_strength(few | {"cells": []}))
