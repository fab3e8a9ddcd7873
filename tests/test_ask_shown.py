"""How the answers are said and drawn, and what the page's callbacks make of what they are sent."""

import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import gradio as gr
import pytest
import torch

from app.ask import charts, views, words
from app.ask.breaking import QUESTIONS, Bracket, Breaking
from app.ask.defences import survey
from app.ask.fifty import LINES, STRENGTHS, Count, Curves
from app.ask.planes import Carried, without
from app.events import Progress
from app.figures import LOWERED, RAISED
from app.handlers import asking as asking_module
from app.handlers.asking import Asking
from app.handlers.visitors import Visitors
from app.page import ask_text
from app.page.ask import BREAKING_INPUTS, FIFTY_INPUTS
from app.places import PUBLISHED
from app.scenario import Scenario, Watch
from model.evaluate import published
from model.evaluate.cells import find_cell
from model.zoo import CODECS
from tests.conftest import ASKED, ROOT

HOSTILE = '<script>alert("x")</script>'
VISITOR = SimpleNamespace(session_hash="visitor")
EXAMPLE = str(ROOT / "app" / "examples" / "frog.png")


def visible(markup: str) -> str:
    return re.sub(r"<[^>]*>", " ", markup)


def found(*brackets: Bracket, **changes) -> Breaking:
    scenario = replace(ASKED, codec="comdefend-cifar10", **changes)
    return Breaking(scenario, "cat", dict(zip(QUESTIONS, brackets, strict=True)))


def test_the_four_strengths_are_said_and_marked():
    shown = charts.breaking(found(Bracket(3, 4), Bracket(32, None), Bracket(-1, 0), Bracket(8, 16)))
    ElementTree.fromstring(shown)  # noqa: S314 - our own
    said = visible(shown)
    for part in ("4/255", "not up to 32/255", "0: no attack is needed", "above 8/255, at most 16/255"):
        assert part in said
    assert 'left:12.50%"></b>' in shown
    assert 'class="beyond"' in shown
    assert 'left:25.00%;width:25.00%"></i>' in shown
    assert shown.index("fools the classifier<") < shown.index("gets through ComDefend<")


def test_what_a_visitor_wrote_is_shown_as_text():
    shown = charts.breaking(found(*[Bracket(0, None)] * 4, target=HOSTILE))
    assert "<script" not in shown
    assert "not known yet" in shown
    assert "<script" not in views.said(HOSTILE) + views.progress(Progress(0.5, HOSTILE))


def curves(**changes) -> Curves:
    scenario = Scenario("cifar10", "comdefend-cifar10-purify", **changes)
    counts = {(line, s): Count(8 - place, 10) for line in LINES for place, s in enumerate((0, *STRENGTHS))}
    return Curves(scenario, 50, counts)


def test_the_curves_are_drawn_over_the_report():
    report = published(PUBLISHED.reports)["cifar10"]
    shown = charts.accuracy(curves(), report)
    drawing = ElementTree.fromstring(shown).find("svg")  # noqa: S314 - our own
    assert len(drawing.findall("circle")) == len(LINES) * (1 + len(STRENGTHS))
    assert len([it for it in drawing.findall("path") if "published" in it.get("class")]) == len(LINES)
    assert "on 10 of 50 test pictures" in shown
    assert "Wilson" in shown
    assert "8/255: 5 of 10 (24 to 76 %)" in shown
    wanted = find_cell(
        report["cells"], defence="comdefend-cifar10-purify", attack="BIM", epsilon=8.0, steps=10,
        threat_model="adaptive",
    )  # fmt: skip
    assert dict(charts.reported(curves(), "adaptive", report))[8.0] == wanted
    clean = find_cell(report["cells"], defence="none", attack="clean")
    assert charts.reported(curves(), "none", report)[0] == (0.0, clean)


@pytest.mark.parametrize("changes", [{"steps": 11}, {"attack": "Square", "steps": 99}])
def test_other_settings_have_no_published_curve(changes):
    report = published(PUBLISHED.reports)["cifar10"]
    shown = charts.accuracy(curves(**changes), report)
    assert "published report has no figures" in shown
    assert "published none" not in shown
    assert "has no figures" in charts.accuracy(curves(), None)


def test_a_cut_code_has_no_published_curve_but_the_classifier_has():
    report = published(PUBLISHED.reports)["cifar10"]
    assert charts.reported(curves(planes=6), "grey-box", report) == []
    assert charts.reported(curves(planes=6), "none", report)


def test_the_table_has_a_button_for_each_defence(lab, outcome):
    *_, all_of_them = survey(lab, outcome, Watch())
    shown = views.table(all_of_them)
    table = ElementTree.fromstring(shown)  # noqa: S314 - our own
    rows = table.findall(".//tbody/tr")
    assert len(rows) == len(all_of_them.rows)
    for number, (row, line) in enumerate(zip(all_of_them.rows, rows, strict=True)):
        assert line.find(".//button").get("data-row") == str(number)
        cells = [cell.text for cell in line.findall("td")]
        assert cells[0] == row.attacked.label
        held = row.attacked.label == outcome.predictions["original"].label
        harmless = row.clean.label == outcome.predictions["original"].label
        wanted = "held" if held else "fell"
        assert cells[2] == ask_text.HELD_WORDS[wanted if harmless else "harmful"]
        assert line.get("class") == (wanted if harmless else "harmful")
    count = sum(it.get("class") == "held" for it in rows)
    assert f"{count} of {len(rows)} held" in shown


def test_the_tiles_are_all_planes_with_their_flipped_bits(outcome):
    shown = views.tiles(outcome)
    assert re.findall(r'data-plane="(\d+)"', shown) == [str(number) for number in range(12)]
    assert shown.count('aria-pressed="true"') == 12
    flipped = (outcome.code_adversarial != outcome.code_original)[0, 2].sum().item()
    assert f"Plane 3: {flipped} of 256 bits flipped" in shown
    measured = Carried(tuple(float(number) for number in range(12)), ("dog",) * 12)
    shown = views.tiles(outcome, measured)
    assert re.findall(r'data-plane="(\d+)"', shown) == [str(number) for number in reversed(range(12))]
    assert "moves by 11.00/255 and is read as “dog”" in shown


@pytest.mark.parametrize("planes", [5, 12])
def test_tiles_of_planes_that_the_original_does_not_have_count_no_flips(outcome, planes):
    code = torch.zeros(1, planes, 16, 16, dtype=torch.uint8)
    shown = views.tiles(
        replace(outcome, code_original=code, code_adversarial=torch.ones(1, 8, 16, 16).byte())
    )
    counts = re.findall(r"Plane \d+: (\d+) of 256 bits flipped", shown)
    assert counts == ["256"] * min(planes, 8) + ["0"] * max(0, 8 - planes)


def test_many_planes_stand_in_four_groups(outcome):
    code = torch.zeros(1, 192, 56, 56, dtype=torch.uint8)
    shown = views.tiles(replace(outcome, code_original=code, code_adversarial=1 - code))
    assert shown.count("<details") == 4
    assert shown.count("<details open") == 1
    assert re.findall(r'data-plane="(\d+)"', shown) == [str(number) for number in range(192)]
    assert len(shown) < 300_000


def test_a_sheet_of_planes_shows_ones_zeros_and_what_was_flipped():
    before = torch.tensor([[[[0, 1], [0, 1]]]] * 1, dtype=torch.uint8).expand(1, 3, 2, 2)
    after = before.clone()
    after[0, 1] = torch.tensor([[1, 1], [0, 0]])
    sheet, columns, rows = views.planes_sheet(after, before)
    assert (columns, rows, sheet.size) == (2, 2, (4, 4))
    colours = sheet.convert("RGB")
    assert [colours.getpixel(at) for at in ((0, 0), (1, 0))] == [(0, 0, 0), (255, 255, 255)]
    raised, lowered = (tuple(round(255 * it) for it in colour) for colour in (RAISED, LOWERED))
    assert [colours.getpixel(at) for at in ((2, 0), (3, 0), (2, 1), (3, 1))] == [
        raised, (255, 255, 255), (0, 0, 0), lowered,
    ]  # fmt: skip


def test_what_is_left_without_planes_is_said(lab, outcome):
    assert "this is the run as it was" in views.without(outcome, without(lab, outcome, (), Watch()))
    shown = views.without(outcome, without(lab, outcome, range(12), Watch()))
    assert "Without planes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, the original is" in visible(shown)
    one = replace(without(lab, outcome, (4,), Watch()))
    said = words.without(one, ("a label", one.says_adversarial.label))
    assert f"Without plane 5, the original is now read as “{one.says_original.label}”" in said
    assert "the adversarial picture is still read" in said


# What the page's callbacks are sent


@pytest.fixture
def asking(lab) -> Asking:
    return Asking(lab, Visitors(300), {})


def asked(asking: Asking, name: str, **changes) -> Iterator:
    controls = {
        "image": EXAMPLE, "classifier": "cifar10", "attack": "FGSM", "steps": None, "target": "", "seed": 0,
        "codec": "comdefend-cifar10", "planes": 100,
    } | changes  # fmt: skip
    inputs = BREAKING_INPUTS if name == "until_it_breaks" else FIFTY_INPUTS
    return getattr(asking, name)(*(controls[it] for it in inputs), request=VISITOR)


def sent(data) -> gr.EventData:
    return gr.EventData(None, data)


def test_a_question_says_how_far_it_is_and_what_it_found(asking):
    *steps, last = asked(asking, "until_it_breaks")
    assert all(len(values) == 2 for values in (*steps, last))
    assert "<progress" in steps[0][0]
    assert "ask-strengths" in steps[1][1]
    assert ask_text.DONE in last[0]
    assert not asking.visitors._watches


def test_the_next_question_ends_the_one_before(asking):
    first = asked(asking, "until_it_breaks")
    next(first)
    next(asked(asking, "until_it_breaks", attack="BIM", steps=5))
    *_, last = first
    assert ask_text.STOPPED in last[0]


def test_a_stop_ends_a_question_with_what_was_found(asking):
    going = asked(asking, "until_it_breaks")
    next(going)
    assert ask_text.STOPPED in asking.stop(VISITOR)
    *_, last = going
    assert ask_text.STOPPED in last[0]


@pytest.mark.parametrize("name", ["until_it_breaks", "fifty"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planes": -1}, "The share of planes kept"),
        ({"planes": "all"}, "The share of planes kept"),
        ({"planes": float("nan")}, "The share of planes kept"),
        ({"steps": 10**9, "attack": "BIM"}, "BIM needs a whole number of steps"),
        ({"steps": [1], "attack": "BIM"}, "must be a number"),
        ({"seed": {"a": 1}}, "Seed must be a number"),
        ({"attack": ["FGSM"]}, "Unknown attack"),
        ({"attack": "C&W"}, "C&W has no strength"),
        ({"codec": {"a": 1}}, "Unknown codec"),
        ({"codec": "../../etc"}, "Unknown codec"),
        ({"classifier": None}, "Unknown classifier"),
        ({"classifier": ["cifar10"]}, "Unknown classifier"),
    ],
)
def test_hostile_controls_are_one_sentence(asking, name, changes, message):
    with pytest.raises(gr.Error) as caught:
        list(asked(asking, name, **changes))
    assert caught.value.message.startswith(message) or message in caught.value.message
    assert "went wrong" not in caught.value.message


@pytest.mark.parametrize("target", [7, ["cat"], "unicorn", {"a": 1}])
def test_hostile_targets_are_one_sentence(asking, target):
    with pytest.raises(gr.Error, match="knows no class"):
        list(asked(asking, "until_it_breaks", target=target))


@pytest.mark.parametrize("outcomes", [None, []])
def test_without_a_run_there_is_a_sentence(asking, outcomes):
    for call in (
        lambda: list(asking.defences(outcomes, "adaptive", request=VISITOR)),
        lambda: list(asking.carried(outcomes, "adaptive", request=VISITOR)),
        lambda: asking.without(outcomes, "adaptive", sent({"off": [1]}), VISITOR),
    ):
        with pytest.raises(gr.Error, match="Attack a picture first"):
            call()
    assert ask_text.NO_RUN in asking.planes(True, outcomes, "grey-box")[0]


def test_who_leaves_waits_for_no_tile(asking, outcome, monkeypatch):
    def leaving(lab, outcome, off, watch):
        asking.visitors.leave("visitor")
        watch.check()

    monkeypatch.setattr(asking_module, "without", leaving)
    with pytest.raises(gr.Error, match="This run was stopped"):
        asking.without([outcome], None, sent({"off": [1]}), VISITOR)


@pytest.mark.parametrize(
    "data", [None, 7, "off", [], {}, {"off": None}, {"off": [99]}, {"off": [{"a": 1}]}, {"off": "1"}]
)
def test_hostile_planes_are_one_sentence(asking, outcome, data):
    with pytest.raises(gr.Error) as caught:
        asking.without([outcome], None, sent(data), VISITOR)
    assert "went wrong" not in caught.value.message


@pytest.mark.parametrize(
    "data", [None, 7, {}, {"row": None}, {"row": -1}, {"row": 10**30}, {"row": "0"}, {"row": [0]}]
)
def test_hostile_lines_are_one_sentence(asking, lab, outcome, data):
    *_, all_of_them = survey(lab, outcome, Watch())
    for table in (None, all_of_them):
        with pytest.raises(gr.Error) as caught:
            asking.choose(table, sent(data))
        assert "went wrong" not in caught.value.message


def test_a_codecs_line_becomes_a_run_and_another_one_a_strip(asking, lab, outcome):
    *_, all_of_them = survey(lab, outcome, Watch())
    names = [row.name.text for row in all_of_them.rows]
    strip, codec, planes = asking.choose(all_of_them, sent({"row": names.index("jpeg-50")}))
    assert "Through jpeg-50" in strip
    assert "data-rerun" not in strip
    assert "value" not in codec
    name = next(it for it in names if it.endswith(":6"))
    strip, codec, planes = asking.choose(all_of_them, sent({"row": names.index(name)}))
    assert "data-rerun" in strip
    assert codec["value"] == name.partition(":")[0] in CODECS
    assert planes["value"] == 50


def test_planes_are_drawn_only_where_somebody_looks(asking, outcome):
    looking, tiles, result = asking.look([outcome], None, sent({"value": ask_text.TABS["planes"]}))
    assert looking
    assert "data-plane" in tiles
    assert result == ""
    assert not asking.look([outcome], None, sent({"value": ask_text.TABS["fifty"]}))[0]
    assert "data-plane" not in str(asking.planes(False, [outcome], None))
    assert "is now read as" in (
        shown := asking.without([outcome], None, sent({"off": list(range(12))}), VISITOR)
    ) or ("still read as" in shown)
