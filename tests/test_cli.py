"""What the command line says when it cannot serve."""

import pytest

from model.checkpoint import WeightsError
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
    "options", [["--train", "--benchmark"], ["--train", "everything"], ["--evaluate", "--images", "0"]]
)
def test_impossible_command_lines(options):
    with pytest.raises(SystemExit) as caught:
        script().main(options)
    assert caught.value.code == 2
