import base64
import os
from pathlib import Path

import gradio as gr
import pytest
from gradio.data_classes import ImageData

from app import uploads
from app.opening import example_pictures
from app.page.components import PictureFile
from app.uploads import EXAMPLES, REFUSAL, Refused, UploadError, admit_all, admit_picture, read


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The upload folder, with a picture in it."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "cat.png").write_bytes(b"a cat")
    (tmp_path / "secret.png").write_bytes(b"a secret")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def refused(path) -> bool:
    with pytest.raises(UploadError) as caught:
        read(str(path))
    return str(caught.value) == REFUSAL


def test_an_upload_is_read(folder, monkeypatch):
    assert read(str(folder / "cat.png")) == b"a cat"
    monkeypatch.chdir(folder)
    assert read("cat.png") == b"a cat"


def test_the_examples_are_read(folder):
    for path, _ in example_pictures():
        assert read(path)
    assert refused(EXAMPLES / "SOURCES.md")
    assert refused(EXAMPLES)


def test_an_upload_folder_behind_a_link_is_the_upload_folder(folder, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "link"))
    assert read(str(tmp_path / "link" / "cat.png")) == b"a cat"
    assert read(str(folder / "cat.png")) == b"a cat"


def test_links_are_resolved(folder, tmp_path):
    (folder / "inside.png").symlink_to(folder / "cat.png")
    (folder / "outside.png").symlink_to(tmp_path / "secret.png")
    (folder / "upwards").symlink_to(tmp_path)
    (folder / "broken.png").symlink_to(tmp_path / "nothing")
    assert read(str(folder / "inside.png")) == b"a cat"
    for name in ("outside.png", "upwards/secret.png", "broken.png", "upwards/uploads/../secret.png"):
        assert refused(folder / name)


def test_what_is_named_like_the_folder_is_not_in_it(folder):
    sibling = folder.with_name("uploads-of-others")
    sibling.mkdir()
    (sibling / "cat.png").write_bytes(b"another")
    assert refused(sibling / "cat.png")
    assert refused(folder)
    assert refused(f"{folder}/../secret.png")


def test_what_lies_elsewhere_is_not_even_opened(folder, tmp_path, monkeypatch):
    def opened(path, *arguments):
        raise AssertionError(path)

    monkeypatch.setattr(os, "open", opened)
    for path in (tmp_path / "secret.png", f"{folder}/../secret.png", "/dev/tty", EXAMPLES / "SOURCES.md"):
        assert refused(path)


def test_nothing_makes_it_wait(folder, monkeypatch):
    """What would wait is opened so that it does not, and is not read from."""
    opened, flags = os.open, []

    def without_waiting(path, options):
        flags.append(options)
        assert options & os.O_NONBLOCK  # without it, this test would wait itself
        return opened(path, options)

    def read(*_):
        raise AssertionError("read")

    monkeypatch.setattr(os, "open", without_waiting)
    monkeypatch.setattr(os, "fdopen", read)
    os.mkfifo(folder / "fifo.png")
    (folder / "folder.png").mkdir()
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "terminal.png").symlink_to("/dev/tty")
    for name in ("fifo.png", "folder.png", "zero.png", "terminal.png"):
        assert refused(folder / name)
    assert len(flags) == 4


def test_a_file_that_changes_its_place_is_not_read(folder, tmp_path, monkeypatch):
    """Between the look at the name and its opening, another file may come to stand there."""
    name = folder / "swapped.png"
    name.write_bytes(b"a cat")
    opened = os.open

    def late(path, *arguments):
        name.unlink()
        name.symlink_to(tmp_path / "secret.png")
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", late)
    assert refused(name)


def test_without_proc_the_name_must_still_mean_the_same_file(folder, tmp_path, monkeypatch):
    readlink = os.readlink

    def no_proc(path, *arguments, **options):
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(path)
        return readlink(path, *arguments, **options)

    monkeypatch.setattr(os, "readlink", no_proc)
    (folder / "outside.png").symlink_to(tmp_path / "secret.png")
    (folder / "inside.png").symlink_to(folder / "cat.png")
    assert refused(folder / "outside.png")
    assert read(str(folder / "inside.png")) == b"a cat"


def test_descriptors_are_closed(folder):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read(str(folder / "cat.png"))
        admit_picture({"path": str(folder / "cat.png")})
        assert refused(folder)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_too_long_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 5)
    assert read(str(folder / "cat.png")) == b"a cat"
    (folder / "long.png").write_bytes(b"a cat and more")
    with pytest.raises(UploadError, match="limit is 20 MB"):
        read(str(folder / "long.png"))
    with pytest.raises(UploadError, match="limit is 20 MB"):
        admit_picture({"url": "data:image/png;base64," + base64.b64encode(bytes(20)).decode()})


def test_base64_becomes_an_upload(folder):
    value = admit_picture({"url": "data:image/png;base64," + base64.b64encode(b"a dog").decode()})
    assert value.keys() == {"path", "meta"}
    assert read(value["path"]) == b"a dog"


def test_only_what_may_pass_goes_on(folder):
    path = str(folder / "cat.png")
    told = {"path": path, "url": "http://127.0.0.1/", "orig_name": "x.svg", "is_stream": True, "meta": {}}
    assert admit_picture(told) == {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert admit_picture({"path": str(EXAMPLES / "ship.png")}) == {"path": str(EXAMPLES / "ship.png")}
    assert admit_picture(None) is None


def test_a_file_has_no_business_in_other_fields(folder):
    assert admit_all([1, "x", ["y"], {"a": None}], lambda number: False) == [1, "x", ["y"], {"a": None}]
    deep = {"a": [{"b": [{"path": str(folder / "cat.png")}]}]}
    for _ in range(5000):  # deeper than Python can call itself
        deep = [deep]
    for value in (deep, {"url": "http://127.0.0.1/"}, [[{"path": "x", "meta": {}}]]):
        with pytest.raises(UploadError):
            admit_all([1, value], lambda number: False)


def test_what_a_session_would_keep_has_a_limit(folder):
    """Whatever shape it has, and before much of it has been looked at."""
    wide: list = [[] for _ in range(uploads.MOST_BESIDES)]
    for value in (
        "x" * uploads.MOST_BESIDES,
        wide,
        {"a": wide},
        {"x" * uploads.MOST_BESIDES: 1},
        [*range(30_000)],
    ):
        for sent in (value, [[value]]):
            with pytest.raises(UploadError, match="far more than its fields can take"):
                admit_all([1, sent], lambda number: False)
    parts = ["x" * (uploads.MOST_BESIDES // 2)] * 2
    with pytest.raises(UploadError):  # a field each is too much together, too
        admit_all(parts, lambda number: False)
    fits = ["x" * 10_000, 1, None, ["y"]]
    assert admit_all(fits, lambda number: False) == fits


def test_nothing_is_written_of_a_call_that_is_refused(folder):
    before = sorted(folder.rglob("*"))
    picture = "data:image/png;base64," + base64.b64encode(b"another dog").decode()
    for other in ({"path": "x"}, "x" * 30_000):
        with pytest.raises(UploadError):
            admit_all([picture, other], lambda number: number == 0)
    assert sorted(folder.rglob("*")) == before
    admit_all([picture, 1], lambda number: number == 0)
    assert sorted(folder.rglob("*")) != before


def test_what_was_refused_before_its_turn_says_so_then(folder):
    with pytest.raises(UploadError, match="of old"):
        admit_all([Refused("Refused of old.")] * 2, lambda number: True)


def test_the_component_gives_what_a_file_holds_and_never_its_name(folder, tmp_path):
    """Even if what stands before it should be gone one day."""
    component = PictureFile(type="filepath")
    assert component.preprocess(None) is None
    assert component.preprocess(ImageData(path=str(folder / "cat.png"))) == b"a cat"
    for payload in (
        ImageData(path=str(tmp_path / "secret.png")),
        ImageData(),
        ImageData(url="data:image/png;base64,AAAA"),
        ImageData(path="http://127.0.0.1/"),
    ):
        with pytest.raises(gr.Error) as caught:
            component.preprocess(payload)
        assert caught.value.message == REFUSAL


def test_no_field_of_a_picture_is_gradios_own():
    """``gr.Image`` opens what it is told to; see ``GuardedBlocks``."""
    from app.lab import Lab
    from app.page.build import build_demo

    demo = build_demo(Lab("cpu"))
    assert type(demo).preprocess_data is not gr.Blocks.preprocess_data
    # What only the browser works on goes through the same gate, which lets no file but a picture's pass.
    taken = [block for fn in demo.fns.values() if fn.fn is not None for block in fn.inputs]
    assert any(isinstance(block, PictureFile) for block in taken)
    for block in taken:
        model = getattr(block, "data_model", None)
        assert isinstance(block, PictureFile) or model is None, block
