import pytest

from model.data import DataError
from model.evaluate.markdown import table
from model.evaluate.publish import SUMMARY, Places, markers, publish, published, write
from model.evaluate.summary import summary
from tests.reports import made_up_report


@pytest.fixture
def report():
    return made_up_report()


@pytest.fixture
def places(tmp_path):
    found = Places(tmp_path / "reports", tmp_path / "results.md", tmp_path / "README.md")
    found.results.write_text(
        "\n".join(["before", *markers("cifar10"), "between", *markers("other"), "after"])
    )
    found.summary.write_text("\n".join(["above", *SUMMARY, "below"]))
    return found


@pytest.fixture
def folder(tmp_path, report):
    found = tmp_path / "run"
    found.mkdir()
    write(found, report)
    (found / "journal.jsonl").write_text("{}")
    return found


def test_a_report_goes_between_its_own_markers(folder, places, report):
    begin, end = markers("cifar10")
    others = "\n".join(markers("other"))
    for data in ("CIFAR-10", "other pictures"):
        changed = report | {"data": data}
        publish(folder, changed, "cifar10", places)
        text = f"before\n{begin}\n{table(changed)}\n{end}\nbetween\n{others}\nafter"
        assert places.results.read_text() == text
    begin, end = SUMMARY
    assert places.summary.read_text() == f"above\n{begin}\n{summary({'cifar10': changed})}\n{end}\nbelow"


def test_the_folder_is_copied_with_its_journal(folder, places, report):
    """So that what was published can be gone on with, and tested picture by picture."""
    publish(folder, report, "cifar10", places)
    wanted = {"report.json", "report.md", "journal.jsonl"}
    assert {path.name for path in (places.reports / "cifar10").iterdir()} == wanted
    assert published(places.reports) == {"cifar10": report}


def test_a_folder_beside_the_files_does_no_harm(folder, places, report):
    publish(folder, report, "cifar10", places)
    (folder / "notes").mkdir()
    publish(folder, report, "cifar10", places)
    assert published(places.reports) == {"cifar10": report}


def test_the_summary_is_of_all_that_were_published(folder, places, report):
    publish(folder, report, "other", places)
    assert "`cifar10`" not in places.summary.read_text()
    publish(folder, report, "cifar10", places)
    assert summary(published(places.reports)) in places.summary.read_text()


@pytest.mark.parametrize("page", ["results", "summary"])
@pytest.mark.parametrize("damage", ["end", "begin", "page"])
def test_a_page_without_its_markers_is_an_error_and_nothing_is_written(folder, places, report, page, damage):
    damaged = getattr(places, page)
    begin, end = markers("cifar10") if page == "results" else SUMMARY
    if damage == "page":
        damaged.unlink()
    else:
        damaged.write_text(damaged.read_text().replace(end if damage == "end" else begin, ""))
    before = {path: path.read_text() for path in (places.results, places.summary) if path.exists()}
    with pytest.raises(DataError, match="is missing" if damage == "page" else "lacks the markers"):
        publish(folder, report, "cifar10", places)
    assert {path: path.read_text() for path in before} == before
    assert not places.reports.exists()
