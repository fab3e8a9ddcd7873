"""What the command line says when it cannot serve."""

import pytest

from model.files import WeightsError
from tests.conftest import script


def test_a_device_that_is_not_there(capsys):
    assert script().main(["--device", "nonsense"]) == 1
    assert "error: the device 'nonsense' cannot be used" in capsys.readouterr().err


def test_a_port_that_is_no_number(monkeypatch, capsys):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "many")
    assert script().main([]) == 1
    assert "error: GRADIO_SERVER_PORT must be a number" in capsys.readouterr().err


def test_damaged_weights_at_the_start_come_with_their_repair(monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise WeightsError("model.safetensors is damaged", "git checkout -- weights/x")

    monkeypatch.setattr("app.lab.Lab.codec", fail)
    assert script().main(["--device", "cpu"]) == 1
    assert "Repair: git checkout -- weights/x" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--train", "--benchmark"],
        ["--train", "everything"],
        ["--evaluate", "--images", "0"],
        ["--guide", "1"],
        ["--train", "purify", "--set", "guide=1"],
    ],
)
def test_impossible_command_lines(options):
    with pytest.raises(SystemExit) as caught:
        script().main(options)
    assert caught.value.code == 2


def test_the_help_has_the_settings_of_each_recipe_with_its_own_choice(capsys):
    with pytest.raises(SystemExit) as caught:
        script().main(["--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "settings of --train purify: --weakest NUMBER" in shown
    purify, photo = (shown.split(f"settings of --train {name}:")[1] for name in ("purify", "photo"))
    assert "--guide NUMBER weight of the mean of their divergences (default: 0.2)" in purify
    assert (
        "--guides NAME,NAME the classifiers that guide (names or folders) (default: imagenet-lite1," in photo
    )
    assert "--held-out NUMBER" in shown.split("settings of --train robust:")[1]


def test_a_setting_without_a_training_is_one_sentence(capsys):
    with pytest.raises(SystemExit):
        script().main(["--guide-noise", "1"])
    assert "--guide-noise is a setting of a recipe: name one with --train" in capsys.readouterr().err
