"""The training curve of a model."""

from typing import Any

from model import curve


def record(task: str, *scores: float, **more: object) -> dict[str, Any]:
    epochs = [{"epoch": 1.5 * (n + 1), "accuracy": score} for n, score in enumerate(scores)]
    return {"recipe": {"task": task}, "epochs": epochs, **more}


def test_a_curve_goes_through_the_runs_of_a_recipe():
    """The second run went on from the first; before that, another recipe's weights were taken."""
    other = record("codec", 0.0)
    last = record("classifier", 0.5, 0.6, before=record("classifier", 0.3, 0.4, before=other))
    assert curve.points(last) == ("accuracy", [[(1.5, 0.3), (3.0, 0.4)], [(4.5, 0.5), (6.0, 0.6)]])
    assert curve.summary(last) == "accuracy on test pictures: from 0.3 at first to 0.6 at the end"
    assert "epoch, over 2 runs" in curve.draw(last)
    assert curve.worth_drawing(last)
    assert not curve.worth_drawing(record("classifier", 0.5, before=other))


def test_the_curve_of_adversarial_training_is_of_what_stood_on_pictures_held_out():
    run = record("robust", 0.8, held_out=100)
    run["epochs"][0]["robust_accuracy"] = 0.4
    assert curve.points(run) == ("robust_accuracy", [[(1.5, 0.4)]])
    assert "on training pictures held out" in curve.summary(run)


def test_a_curve_of_an_earlier_run_is_not_kept(tmp_path):
    curve.write(tmp_path, record("classifier", 0.5, 0.6))
    assert (tmp_path / curve.FILE).is_file()
    curve.write(tmp_path, record("classifier", 0.5))
    assert not (tmp_path / curve.FILE).exists()
