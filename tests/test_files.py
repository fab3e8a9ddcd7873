"""Files and folders are replaced in one step."""

import errno
import shutil

import pytest

from model import files


def test_a_write_that_fails_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / "file"
    files.write_atomically(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(files.StorageError, match=r"file could not be written: No space left on device\."):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_replacing_a_folder_leaves_nothing_behind(tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "target" / "stale").write_text("stale")
    files.replace_folder(tmp_path / "new", tmp_path / "target")
    assert [p.name for p in (tmp_path / "target").iterdir()] == ["file"]
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "target"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "full")


def test_a_folder_that_finds_no_room_leaves_the_old_one(monkeypatch, tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(files.StorageError, match="target could not be written"):
        files.replace_folder(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "target"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "target"]


def test_who_was_killed_between_the_two_renames_loses_nothing(monkeypatch, tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "target").rename(tmp_path / ".target.old")
    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(files.StorageError):
        files.replace_folder(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "target"
