import pytest

from app.settings import Settings


def test_the_command_line_goes_before_the_environment():
    environment = {"GRADIO_SERVER_PORT": "9000", "GRADIO_SERVER_NAME": "10.0.0.1"}
    silent = Settings.collect(None, None, "auto", False, environment)
    assert (silent.host, silent.port) == ("10.0.0.1", 9000)
    loud = Settings.collect("127.0.0.1", 8000, "cpu", True, environment)
    assert loud == Settings("127.0.0.1", 8000, "cpu", True)
    assert Settings.collect(None, None, "auto", False, {}) == Settings()


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_there_is_not_is_refused(port):
    said = f"must be from 0 to 65535, got {port}"
    with pytest.raises(ValueError, match=f"the port {said}"):
        Settings.collect(None, port, "auto", False, {})
    with pytest.raises(ValueError, match=f"the port for Prometheus {said}"):
        Settings.collect(None, None, "auto", False, {}, port)


def test_a_port_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="'many'"):
        Settings.collect(None, None, "auto", False, {"GRADIO_SERVER_PORT": "many"})
