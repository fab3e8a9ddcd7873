import json
from dataclasses import replace

import pytest

from model.data import DataError
from model.evaluate.direct import Part
from model.evaluate.journal import Heading, Journal
from model.evaluate.record import KINDS, Distances, UnboundedRecord
from tests.conftest import clean, kept, noise, record

SYSTEMS = {"none": {"weights": "abc"}, "jpeg-75": {}, "codec": {"planes": ((0, 64), (0.7, 16))}}
HEADING = Heading(
    {"seed": 0, "source": None}, SYSTEMS, {"all": 3, "adaptive": 3, "few": 2, "costly": 2}, "quick"
)
DISTANCES = Distances(success=0.5, median_l2=1.5, median_linf_255=None)
UNBOUNDED = UnboundedRecord(
    system="none", threat_model="white-box", attack="DeepFool", epsilon=8.0, steps=50, scope="few",
    right="10",
    before_rounding=DISTANCES, rounded=Distances(success=0.0, median_l2=None, median_linf_255=None),
)  # fmt: skip
ONE = [record("none", "FGSM", "101"), record("jpeg-75", "FGSM", "111", bits_flipped=0.25)]
TWO = [clean("none", "001"), noise("none", "111"), UNBOUNDED, kept("codec", "clean", "01", planes=3)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def written(path) -> Journal:
    journal = Journal(path, HEADING)
    journal.write("one", ONE)
    journal.write("two", TWO)
    return journal


def assert_refused(path, line: dict, said: str) -> None:
    """A journal with such a line in it is not read."""
    Journal(path, HEADING)
    with path.open("a") as file:
        file.write(f"{json.dumps(line)}\n")
    with pytest.raises(DataError, match=said):
        Journal(path, HEADING)


def test_what_is_written_is_read_again_in_its_order(path):
    written(path)
    again = Journal(path, HEADING)
    assert list(again.done.items()) == [("one", ONE), ("two", TWO)]
    assert again.records == [*ONE, *TWO]
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[0])["evaluation"]["seed"] == 0
    assert again.seconds == written(path.with_name("other")).seconds == {"one": 0.1, "two": 0.1}


def test_records_of_every_kind_are_read_again_as_what_they_were():
    written_kinds = {type(found) for found in [*ONE, *TWO]}
    assert written_kinds == set(KINDS.values())
    assert {kind: found.kind for kind, found in KINDS.items()} == {kind: kind for kind in KINDS}


@pytest.mark.parametrize(
    "line",
    [
        {"job": "one", "records": [{"kind": "magic"}]},
        {"job": "one", "records": [{"kind": "clean", "system": "none"}]},
        {"job": "one", "records": [{"system": "none"}]},
        {"job": "one", "records": ["x"]},
        {"job": "one", "records": 7},
        {"job": [], "records": []},
        {"job": "one", "records": [ONE[0].to_json() | {"system": []}]},
        {"job": "one", "records": [ONE[0].to_json() | {"scope": []}]},
        {"job": "one", "records": [ONE[0].to_json() | {"scope": "those"}]},
        {"job": "one", "records": [ONE[0].to_json() | {"right": "10"}]},
        {"job": "one", "records": [ONE[0].to_json() | {"right": 3}]},
        {"job": "one", "records": [ONE[0].to_json() | {"seconds": "x"}]},
        {"job": "one", "records": [ONE[0].to_json() | {"seconds": None}]},
    ],
)
def test_what_is_no_record_is_an_error_that_names_the_file(path, line):
    assert_refused(path, line, r"journal\.jsonl holds no records that can be read")


PART = {"job": "one", "system": "none", "part": 0, "came_to": Part("10", 0.5, 0.25, 3.5).to_json()}


def test_parts_of_a_job_are_read_again_until_it_is_done(path):
    journal = Journal(path, HEADING)
    journal.write_part("one", "none", 0, Part("10", 0.5, 0.25, 3.5))
    assert json.loads(path.read_text().splitlines()[-1]) == PART
    assert Journal(path, HEADING).begun == {"one": {0: Part("10", 0.5, 0.25, 3.5)}}
    journal.write("one", ONE)
    assert journal.begun == {}
    assert Journal(path, HEADING).begun == {}


@pytest.mark.parametrize(
    "change",
    [
        {"job": []}, {"system": []}, {"part": "x"}, {"part": []}, {"came_to": 7}, {"came_to": {}},
        {"came_to": {"right": "012"}}, {"came_to": {"right": 3}}, {"came_to": {"right": "1", "more": 1}},
        {"came_to": {"right": "1", "seconds": "x"}}, {"came_to": {"right": "1", "no_gradient": "x"}},
        {"came_to": {"right": "1", "zero_gradient": []}},
    ],
)  # fmt: skip
def test_what_is_no_part_is_an_error_that_names_the_file(path, change):
    assert_refused(path, PART | change, r"journal\.jsonl holds no part of a job that can be read")


def test_reading_it_changes_nothing(path):
    written(path)
    before = path.read_bytes()
    Journal(path, HEADING)
    assert path.read_bytes() == before


def test_a_new_one_holds_its_identity_at_once(path):
    assert Journal(path, HEADING).records == []
    heading = Heading(**json.loads(path.read_text()))
    assert heading == HEADING.normal() != HEADING
    assert heading.systems["codec"] == {"planes": [[0, 64], [0.7, 16]]}


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_half_written_last_line_is_forgotten(path, cut):
    written(path)
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    assert cut < last
    path.write_bytes(whole[:-cut])
    again = Journal(path, HEADING)
    assert list(again.done) == ["one"]
    again.write("two", TWO)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("begun", [b"", b'{"seed": 0, "wei'])
def test_a_journal_that_was_hardly_begun_begins_anew(path, begun):
    path.write_bytes(begun)
    assert Journal(path, HEADING).records == []
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize("change", [{"seed": 1}, {"source": "other"}, {"another": 1}])
def test_the_journal_of_another_evaluation_is_refused_and_kept(path, change):
    written(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"holds another evaluation.*--report.*delete it"):
        Journal(path, replace(HEADING, evaluation=HEADING.evaluation | change))
    assert path.read_bytes() == before


@pytest.mark.parametrize("systems", [{}, {"none": SYSTEMS["none"]}, {**SYSTEMS, "none": {"weights": "new"}}])
def test_records_of_systems_that_are_not_the_same_now_stay_in_the_file(path, systems):
    """Whoever asks for fewer, or trains one anew, loses nothing: with the old ones all is there again."""
    whole = written(path).records
    before = path.read_text()
    found = Journal(path, replace(HEADING, systems=systems))
    same = {name for name, what in systems.items() if what == SYSTEMS[name]}
    assert found.records == [record for record in whole if record.system in same]
    assert found.systems("one") == same & {"none", "jpeg-75"}
    assert path.read_text().startswith(before)
    assert Journal(path, HEADING).records == whole


def test_what_a_system_lacked_is_added_to_the_job(path):
    written(path)
    more = {"bits-5": {}} | SYSTEMS
    new = record("bits-5", "FGSM", "011")
    Journal(path, replace(HEADING, systems=more)).write("one", [new])
    with path.open("a") as file:  # a second time, as in two journals that were joined
        file.write(f"{path.read_text().splitlines()[-1]}\n")
    again = Journal(path, replace(HEADING, systems=more))
    assert again.done == {"one": [new, *ONE], "two": TWO}
    assert again.of(["two", "three", "one"]) == [*TWO, new, *ONE]
    assert again.systems("one") == {"none", "jpeg-75", "bits-5"}
    assert again.systems("three") == set()


def test_another_preset_takes_over_all_but_cascades_and_what_was_of_other_pictures(path):
    cascade = record("none", "PGD", "101", cascade=True)
    few = record("none", "PGD", "11", scope="few")
    costly = record("none", "PGD", "11", scope="costly")
    dial = kept("codec", "clean", "01", planes=3)
    Journal(path, HEADING).write("a", [cascade, few, costly, dial])

    def left(preset="quick", **counts: int) -> list:
        scopes = {**HEADING.scopes, **counts}
        return Journal(path, replace(HEADING, preset=preset, scopes=scopes)).records

    assert left() == [cascade, few, costly, dial]
    assert left(preset="standard") == [few, costly, dial]
    assert left(few=1) == [cascade, costly, dial]
    assert left(costly=1) == [cascade, few, dial]
    assert left(adaptive=2) == [cascade, dial]  # this cascade is of all pictures
    assert left(all=4) == []
    assert left() == [cascade, few, costly, dial]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        "[" * 100_000,
        '{"unit": "one", "records": []}',
        '{"seed": 0}',
        '{"evaluation": {"seed": 0}, "systems": 3}',
    ],
)
def test_what_is_no_journal_of_this_kind_is_refused(path, line):
    path.write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"journal\.jsonl is (damaged|no journal of this kind)"):
        Journal(path, HEADING)
    assert path.read_text() == f"{line}\n"


def test_damage_in_the_middle_is_an_error_that_names_the_file(path):
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:30] + b"\n" + lines[2])
    with pytest.raises(DataError, match=r"journal\.jsonl is damaged"):
        Journal(path, HEADING)


def test_without_a_path_it_is_kept_in_memory(tmp_path):
    journal = Journal(None, HEADING)
    journal.write("one", ONE)
    assert journal.records == ONE
    assert list(tmp_path.iterdir()) == []
