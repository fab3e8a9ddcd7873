"""A folder for each server's temporary files, which goes with it, or with the next one that starts.

A process that is killed cleans up nothing. So each server locks its folder, and a lock ends with its holder:
whoever starts later can tell which folders nobody needs any more, whatever their names or ages are.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there, as nobody could tell
    fcntl = None  # type: ignore[assignment]

PREFIX = "comdefend-lab-"
LOCK = ".lock"
VARIABLE = "GRADIO_TEMP_DIR"


class Strays(set[str]):
    """All regular files in a server's own folder, as they are whenever it is gone through, but for its lock.

    Gradio removes old files, but only those that it knows of (``Blocks.temp_file_sets``). Of an upload that
    was broken off, or had another name in its form, it knows nothing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __iter__(self) -> Iterator[str]:
        for place, _, names in os.walk(self._folder):
            for name in names:
                path = Path(place, name)
                with suppress(OSError):  # it is gone meanwhile
                    if name != LOCK and stat.S_ISREG(path.lstat().st_mode):
                        yield str(path)


@contextmanager
def own_folder(base: Path | None = None) -> Iterator[Path]:
    """A folder for all temporary files of this process, Gradio's too, until the block ends.

    Args:
        base: where to put it. By default what ``GRADIO_TEMP_DIR`` says, or the system's own place.
    """
    before = os.environ.get(VARIABLE), tempfile.tempdir
    base = (base or Path(before[0] or tempfile.gettempdir())).resolve()
    base.mkdir(parents=True, exist_ok=True)
    sweep(base)
    with _locked(base) as folder:
        os.environ[VARIABLE], tempfile.tempdir = str(folder), str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before[1]
            os.environ.pop(VARIABLE)
            if before[0] is not None:
                os.environ[VARIABLE] = before[0]
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(base: Path) -> Iterator[Path]:
    """A new folder, which is locked until the block ends."""
    if fcntl is None:
        yield Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        return
    # It gets its name when it is locked: until then, nobody takes it for a leftover.
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    lock = os.open(new / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield new.rename(base / new.name.removeprefix("."))
    finally:
        os.close(lock)


def sweep(base: Path) -> list[Path]:
    """Remove what servers of this user left in ``base`` when they were killed; which folders that were."""
    if fcntl is None:
        return []
    return [folder for folder in sorted(base.glob(f"{PREFIX}*")) if _is_removed(folder)]


def _is_removed(folder: Path) -> bool:
    with suppress(OSError):  # it is somebody else's, or gone meanwhile
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where its holder lives
            shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            os.close(lock)
    return False
