import errno
import io
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from app import decoding
from app.decoder import kind, scans
from app.decoding import Decoders, DecodingError, decoders
from app.images import SENTENCES, ImageError, open_picture
from tests.conftest import ROOT, ticking
from tests.strange_pictures import many_scans, phone_jpeg, png, postscript

pytestmark = pytest.mark.processes

PATIENCE_S = 120
"""An event that has not come by then will not come: the test has failed, and need not hang."""
AT_WORK = """
import os, signal, sys
signal.alarm({patience})
sys.stdout.buffer.write(b"ready\\n")
sys.stdout.buffer.flush()
sys.stdin.buffer.read()
os.close(os.open({fifo!r}, os.O_WRONLY))
signal.pause()
"""
"""A decoder that opens a FIFO when it has a picture, and then makes nothing of it."""


class Never:
    """An alarm that does not go off, however long it takes."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        pass


class WhenOpened(Never):
    """One that goes off when somebody opens a FIFO."""

    def __init__(self, fifo: Path, call: Callable[[], None]) -> None:
        self.fifo, self.call = fifo, call

    def start(self) -> None:
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self.fifo.open("rb").close()
        self.call()


@pytest.fixture
def patient():
    """Decoders for which no time passes: what they refuse, they refuse for another reason."""
    own = Decoders(clock=lambda: 0.0, alarm=Never)
    yield own
    own.close()


def reason(data: bytes, **options) -> str:
    with pytest.raises(DecodingError) as caught:
        decoders.decode(data, **options)
    assert caught.value.reason in SENTENCES
    return caught.value.reason


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reference(data: bytes) -> np.ndarray:
    """What the lab made of a picture when it still decoded by itself."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith(("I", "F")):
        levels = np.nan_to_num(np.asarray(image).astype(np.float64))
        whites = (65535,) if image.mode.startswith("I;16") else (1, 255, 65535)
        white = next((w for w in whites if levels.max() <= w), levels.max())
        image = Image.fromarray((255 * levels / white).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"))


def many_pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (61, 83, 3), dtype=np.uint8))
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, (61, 83), dtype=np.uint8)))
    deep = rng.integers(0, 65536, (61, 83)).astype(np.uint16)
    real = rng.normal(0, 1, (61, 83)).astype(np.float32)
    real[3, 4] = np.nan
    exif = Image.Exif()
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found = {
        "wide": saved(Image.fromarray(rng.integers(0, 256, (700, 3000, 3), dtype=np.uint8)), "PNG"),
        "alpha": saved(alpha, "PNG"),
        "grey and alpha": saved(alpha.convert("LA"), "PNG"),
        "palette": saved(rgb.quantize(200), "PNG", transparency=bytes(range(200))),
        "one colour is transparent": saved(rgb, "PNG", transparency=rgb.getpixel((5, 5))),
        "black and white": saved(rgb.convert("1"), "PNG"),
        "two bits": saved(rgb.convert("L").quantize(4), "PNG", bits=2),
        "deep": saved(Image.fromarray(deep), "PNG"),
        "deep tiff": saved(Image.fromarray(deep), "TIFF", compression="tiff_lzw"),
        "dark whole numbers": saved(Image.fromarray((deep // 300).astype(np.int32)), "TIFF"),
        "real numbers": saved(Image.fromarray(real), "TIFF"),
        "cmyk": saved(rgb.convert("CMYK"), "JPEG"),
        "cmyk tiff": saved(rgb.convert("CMYK"), "TIFF"),
        "lab": saved(ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB"), "TIFF"),
        "grey": saved(rgb.convert("L"), "JPEG"),
        "progressive": saved(rgb, "JPEG", progressive=True),
        "bmp": saved(rgb, "BMP"),
        "gif": saved(rgb, "GIF", save_all=True, append_images=[rgb.rotate(180)] * 3, transparency=4),
        "webp": saved(alpha, "WEBP", lossless=True),
        "animated webp": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)]),
        "animated png": saved(alpha, "PNG", save_all=True, append_images=[alpha.rotate(180)]),
        "two exposures": saved(rgb, "MPO", save_all=True, append_images=[rgb.rotate(180)]),
    }
    for turn in range(2, 9):
        exif[274] = turn
        found[f"turned {turn}"] = saved(rgb, "JPEG", exif=exif)
    found["turned tiff"] = saved(rgb, "TIFF", exif=exif)
    found["turned deep png"] = saved(Image.fromarray(deep), "PNG", exif=exif)
    return found


@pytest.mark.parametrize("name", many_pictures())
def test_pictures_come_out_as_pillow_has_them(name):
    data = many_pictures()[name]
    picture = decoders.decode(data)
    wanted = reference(data)
    assert np.array_equal(np.asarray(picture), wanted)
    assert picture.info["size"] == picture.size
    assert picture.info["frames"] == getattr(Image.open(io.BytesIO(data)), "n_frames", 1)


def test_less_is_sent_where_less_will_do():
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 900)[:, None, None] * np.ones((1, 1300, 3)) + rng.normal(0, 2, (900, 1300, 3))
    original = Image.fromarray(ramp.clip(0, 255).astype(np.uint8))
    for data in (saved(original, "PNG"), saved(original, "JPEG"), saved(original, "WEBP")):
        picture = decoders.decode(data, least=200)
        assert 200 <= min(picture.size) < 450
        assert picture.info["size"] == (1300, 900)
        small = original.resize(picture.size, Image.Resampling.BOX)
        difference = np.asarray(small).astype(int) - np.asarray(picture).astype(int)
        assert np.abs(difference).mean() < 2
        assert decoders.decode(data, least=500).size == (1300, 900)


def test_the_format_is_known_by_how_a_file_begins():
    image = Image.new("RGB", (8, 8))
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        assert kind(saved(image, name)) == name
    for name in ("PPM", "ICO", "TGA", "PCX", "EPS", "PDF", "DDS", "SGI", "IM"):
        assert kind(saved(image, name)) is None
        assert reason(saved(image, name)) == "kind"
    assert reason(postscript("{} loop")) == "kind"
    # What only begins like one of them is not handed to another.
    assert reason(b"\x89PNG\r\n\x1a\n" + postscript("")) == "kind"
    assert reason(b"BM" + postscript("")) in ("kind", "damaged")
    assert reason(b"") == "kind"


def test_scans_are_counted_as_a_decoder_meets_them():
    picture = Image.new("RGB", (64, 64), "red")
    assert scans(saved(picture, "JPEG"), 100) == 1
    progressive = saved(picture, "JPEG", progressive=True)
    assert 6 <= scans(progressive, 100) <= 12
    assert scans(many_scans(57), 100) == 57
    assert scans(many_scans(300), 100) == 101  # no further
    # What lies in other segments, or behind the end, is not gone through.
    preview = b"\xff\xe1" + (2 + 4 * 200).to_bytes(2, "big") + b"\xff\xda\0\2" * 200
    assert scans(progressive[:2] + preview + progressive[2:], 100) == scans(progressive, 100)
    assert scans(progressive + b"\xff\xda\0\2" * 200, 100) == scans(progressive, 100)
    # Bytes that a decoder skips hide none.
    assert scans(many_scans(150).replace(b"\xff\xda", b"\xff\xff\xff\xda"), 100) == 101
    assert scans(b"\xff\xd8" + b"\xff\xda\0\2" * 500, 100) == 101
    for junk in (b"", b"\xff", b"\xff\xd8\xff", b"\xff\xda", b"\xff\xe1\xff"):
        scans(junk, 100)


def test_a_hundred_scans_pass_and_one_more_does_not():
    assert decoders.decode(many_scans(100)).size == (64, 64)
    assert reason(many_scans(101)) == "scans"
    assert reason(many_scans(1000, (1500, 1500))) == "scans"


def test_forty_million_pixels_pass_and_more_do_not():
    assert decoders.decode(png(8000, 5000, colour=0), least=100).info["size"] == (8000, 5000)
    assert reason(png(8000, 5001, colour=0)) == "pixels"
    assert reason(png(3, 100)) == "side"


def test_a_deep_picture_does_not_take_gigabytes(patient):
    data = png(6320, 6320, depth=16, colour=0)
    with ThreadPoolExecutor(4) as pool:
        pictures = pool.map(lambda _: patient.decode(data, least=320), range(4))
    assert [picture.info["size"] for picture in pictures] == [(6320, 6320)] * 4


def test_the_photograph_of_a_phone_passes(patient):
    data = phone_jpeg()
    assert patient.decode(data, least=1024).size == (2000, 3000)  # half of it; it lay on its side
    assert patient.decode(data).size == (4000, 6000)


def test_what_takes_too_long_is_ended(monkeypatch, tmp_path):
    """When its time is up, and it is at work: the alarm goes off when the process says that it has all."""
    script, fifo = tmp_path / "decoder.py", tmp_path / "at-work"
    os.mkfifo(fifo)
    script.write_text(AT_WORK.format(patience=PATIENCE_S, fifo=str(fifo)))
    set_to = []

    def alarm(seconds: float, call: Callable[[], None]) -> decoding.Alarm:
        set_to.append(seconds)
        return WhenOpened(fifo, call) if seconds == decoding.MAX_SECONDS else Never(seconds, call)

    monkeypatch.setattr(decoding, "SCRIPT", [str(script)])
    own = Decoders(alarm=alarm)
    assert outcome(b"a picture", own) == "time"
    own.close()
    assert set_to == [decoding.START_SECONDS, decoding.MAX_SECONDS]
    monkeypatch.undo()
    assert outcome(png(8, 8)) == "decoded"  # others have nothing of it


def test_the_alarm_is_that_of_the_wall_clock_and_keeps_no_program_from_ending():
    called = threading.Event()
    alarm = decoding.real_alarm(0.001, called.set)
    assert alarm.daemon
    assert alarm.interval == 0.001
    alarm.start()
    assert called.wait(PATIENCE_S)


def outcome(data: bytes, own: Decoders = decoders, **options) -> str:
    """The reason of a refusal, or "decoded"."""
    try:
        own.decode(data, **options)
    except DecodingError as error:
        return error.reason
    return "decoded"


def test_what_takes_too_much_memory_is_ended(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_MEMORY", 30 * 1024**2)
    assert reason(png(5000, 3000), least=100) == "memory"
    assert decoders.decode(png(1000, 1000)).size == (1000, 1000)


def test_the_lab_needs_no_more_memory_than_it_says(patient):
    """All kinds of forty million pixels, in what is allowed for them."""
    rgba = png(8000, 5000, colour=6)
    for data in (rgba, png(8000, 5000), png(8000, 5000, depth=16, colour=0)):
        assert outcome(data, patient, least=1000) == "decoded"


def test_a_process_that_dies_or_talks_nonsense_takes_nothing_with_it(patient, monkeypatch, tmp_path):
    script, own = tmp_path / "decoder.py", patient
    monkeypatch.setattr(decoding, "SCRIPT", [str(script)])
    answers = (
        b"", b"nonsense\n", b"[]\n", b"{}\n", b'"refused"\n', b'{"refused": "kind", "size": 7}\n',
        json.dumps({"size": [8, 8], "full": [8, 8], "frames": 1}).encode() + b"\nshort",
        json.dumps({"size": [2**20, 2**20], "full": [2**20, 2**20], "frames": 1}).encode() + b"\n",
        json.dumps({"size": [-8, -8], "full": [8, 8], "frames": 1}).encode() + b"\n",
        b"x" * 10_000_000,
    )  # fmt: skip
    for answer in answers:
        script.write_text(
            "import sys; b = sys.stdout.buffer; b.write(b'ready\\n'); b.flush(); sys.stdin.buffer.read(); "
            f"b.write({answer[:200]!r} * {max(1, len(answer) // 200)})"
        )
        own.close()  # the one that runs the script of before
        with pytest.raises(DecodingError) as caught:
            own.decode(b"anything")
        assert caught.value.reason == "damaged"
    script.write_text("raise SystemExit(1)")
    own.close()
    with pytest.raises(RuntimeError, match="does not start"):
        own.decode(b"anything")
    monkeypatch.undo()
    own.close()
    assert own.decode(png(8, 8)).size == (8, 8)


def test_a_spare_that_died_is_replaced():
    own = Decoders()
    own.decode(png(8, 8))
    own._spare.kill()
    assert own.decode(png(8, 8)).size == (8, 8)
    own.close()


def test_two_at_a_time_and_a_short_line(monkeypatch):
    own = Decoders(at_once=2, waiting=3, clock=lambda: 0.0, alarm=Never)
    begun, waits, go = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    at_work, most, lock = 0, 0, threading.Lock()

    def exchange(worker, data, least):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        begun.release()
        assert go.wait(PATIENCE_S)
        with lock:
            at_work -= 1
        return Image.new("RGB", (4, 4))

    def waiting() -> Callable[[], None]:
        """What somebody calls again and again who waits: tells it once."""
        once = iter([waits.release])
        return lambda: next(once, lambda: None)()

    monkeypatch.setattr(decoding, "_exchange", exchange)
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(own.decode, b"", check=waiting()) for _ in range(8)]
        try:
            # Two of eight work and three wait: the other three are told so while nobody has finished.
            refused = list(itertools.islice(as_completed(tries, PATIENCE_S), 3))
            assert [attempt.exception().reason for attempt in refused] == ["busy"] * 3
            assert all(begun.acquire(timeout=PATIENCE_S) for _ in range(2))
            assert all(waits.acquire(timeout=PATIENCE_S) for _ in range(3))
            assert sum(attempt.done() for attempt in tries) == 3
        finally:
            go.set()
    assert most == 2
    assert sum(attempt.exception() is None for attempt in tries) == 5
    own.close()


def test_who_waits_can_be_stopped_and_does_not_wait_for_ever():
    def stop() -> None:
        raise ImageError("stopped")

    with pytest.raises(ImageError, match="stopped"):
        Decoders(at_once=0).decode(b"", check=stop)
    # By a clock that goes on by 5 seconds a look: after 5 and 10 it waits, and after 15, and gives up after.
    looks = []
    own = Decoders(at_once=0, clock=ticking(decoding.MAX_WAIT_SECONDS / 3))
    with pytest.raises(DecodingError, match="busy"):
        own.decode(b"", check=lambda: looks.append(1))
    assert len(looks) == 4
    own = Decoders(at_once=1)
    with pytest.raises(DecodingError):
        own.decode(b"no picture")
    assert own.decode(png(8, 8)).size == (8, 8)  # its turn was given back
    own.close()


def test_the_process_is_sealed():
    """With a stranger's bytes before it, it opens nothing and starts nothing."""
    program = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from app import decoder
decoder.seal(2**20, 5)
for what in (lambda: open("/etc/passwd"), lambda: os.listdir("/"), socket.socket, os.pipe):
    try:
        what()
    except OSError as error:
        print(error.errno)
try:
    bytes(2**28)
except MemoryError:
    print("memory")
"""
    command = [sys.executable, "-c", program, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(errno.EMFILE)] * 4 + ["memory"]


def test_the_process_sees_nothing_of_the_servers_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    worker = decoding._started()
    try:
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert b"secret" not in environment
    finally:
        decoding._end(worker)


def test_all_errors_are_one_sentence_for_visitors():
    assert set(SENTENCES) == {
        "kind", "damaged", "bomb", "pixels", "side", "scans", "time", "memory", "busy",
    }  # fmt: skip
    data = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)), "PNG")
    for bad in (data[: len(data) // 2], b"\xff\xd8\xff" + bytes(100), b"II*\0" + b"\xff" * 100):
        with pytest.raises(ImageError) as caught:
            open_picture(bad)
        assert str(caught.value) in (SENTENCES["damaged"], SENTENCES["kind"])
    with pytest.raises(ImageError, match="cannot be read") as caught:
        open_picture("/nowhere/cat.png")
    assert "nowhere" not in str(caught.value)


def test_a_fork_that_holds_the_pipe_open_keeps_no_picture(monkeypatch):
    own, held, started = Decoders(), [], decoding._started

    def copied() -> subprocess.Popen:
        worker = started()
        held.append(os.dup(worker.stdin.fileno()))
        return worker

    monkeypatch.setattr(decoding, "_started", copied)
    try:
        assert own.decode(png(8, 8)).size == (8, 8)
    finally:
        own.close()
        for descriptor in held:
            os.close(descriptor)
