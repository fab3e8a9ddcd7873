"""Files and folders are replaced in one step."""

import errno
import os
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


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    folder = tmp_path / "reports" / "one"
    with files.held(folder):
        with (
            pytest.raises(files.StorageError, match="another process is writing"),
            files.held(folder),
        ):
            pass
        with files.held(tmp_path / "reports" / "other"):
            pass
    with files.held(folder):
        assert list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(files.StorageError, match="file could not be written"), files.held(tmp_path / "file"):
        pass


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


def test_what_a_killed_writer_left_is_removed_by_a_later_one(tmp_path):
    left, other, current = (tmp_path / f".{name}.tmp" for name in ("file.1", "file2.1", "file.2"))
    for path in (left, other, current):
        path.write_text("half")
    for path in (left, other):
        os.utime(path, (0, 0))
    files.write_atomically(tmp_path / "file", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [current.name, other.name, "file"]


def test_who_was_killed_between_the_two_renames_loses_nothing(monkeypatch, tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "target").rename(tmp_path / ".target.old")
    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(files.StorageError):
        files.replace_folder(tmp_path / "new", tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "target"
