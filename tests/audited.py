"""``app.py``, or the process that decodes, under an audit hook: every opening is a line of a log.

Run as ``audited.py LOG app.py [options]`` it serves the page, and what decodes for it runs as
``audited.py LOG decoder.py``. A picture that holds ``PLANT`` and the name of a process makes that process
read a file that is none of its business, so that a test can see that such a thing is seen.
"""

import contextlib
import json
import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLANT = b"read what is none of your business: "
EVENTS = {"open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.exec", "os.posix_spawn"}


def listen(log: int, process: str) -> None:
    """Write what this process does to an open file, a line of JSON for each event."""

    def hook(event: str, arguments: tuple) -> None:
        if event not in EVENTS or (event == "open" and isinstance(arguments[0], int)):
            return
        what = arguments[1] if event == "socket.connect" else arguments[0]
        what = os.fsdecode(what) if isinstance(what, bytes | os.PathLike) else str(what)
        os.write(log, json.dumps([process, event, what]).encode() + b"\n")

    sys.addaudithook(hook)


def planted(data: bytes, process: str) -> None:
    """Read the file whose name follows in the data of a picture, if it is meant for this process."""
    _, _, rest = data.partition(PLANT + process.encode() + b" ")
    if rest:
        Path(os.fsdecode(rest.split(b"\n")[0])).open("rb")  # noqa: SIM115 - it may fail in a sealed process


def serve(log: Path, arguments: list[str]) -> None:
    """The page; whatever it starts to decode is under the hook, too."""
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = str(ROOT)
    from app import decoding, uploads

    decoding.SCRIPT = [__file__, str(log), "decoder.py"]
    read = uploads.read

    def reading(path: str) -> bytes:
        data = read(path)
        planted(data, "server")
        return data

    uploads.read = reading
    sys.argv = [str(ROOT / "app.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


def decode() -> None:
    """One picture, as ``app/decoder.py`` does it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("decoder", ROOT / "app" / "decoder.py")
    decoder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(decoder)
    opened = decoder.decode

    def decoding(data: bytes, *arguments: object) -> object:
        with contextlib.suppress(OSError):  # nothing can be opened there
            planted(data, "decoder")
        return opened(data, *arguments)

    decoder.decode = decoding
    decoder.main()


if __name__ == "__main__":
    _, log_name, what, *options = sys.argv
    number = os.open(log_name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if what == "app.py":
        listen(number, "server")
        serve(Path(log_name), options)
    else:
        os.dup2(number, 2)  # where nothing else is open once it is sealed
        os.close(number)
        listen(2, "decoder")
        decode()
