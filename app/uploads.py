"""Which files a stranger may name: uploads, and the examples.

A visitor's file reaches Gradio as a name on the server, or as base64, or as an address of the web, in any
field of any endpoint. All of them pass through here before Gradio acts on them. Only what is a regular file
in Gradio's upload folder or an example may pass, and its content is read from the descriptor that was
checked: a name that is looked up twice can mean two files.
"""

import base64
import binascii
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from app import settings
from app.images import ImageError

EXAMPLES = Path(__file__).parent / "examples"
EXAMPLE_SUFFIXES = {".jpg", ".png"}
MAX_BYTES = settings.limits.file_bytes
"""The largest file, however it comes."""
REFUSAL = (
    "Only pictures that were uploaded here, and the examples, can be used; this is neither, "
    "or it is no longer kept: upload it again."
)
"""One sentence for all else: another one for each reason would tell which files there are."""
DATA_URL = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+=-]*)*;base64,", re.ASCII)
FILE_MARKS = ("path", "url")
"""What a JSON object that is a file has, see ``gradio.data_classes.FileData``."""
MOST_BESIDES = 20_000
"""What all of a call but its pictures may come to: values, and characters of text. A session keeps it."""
TOO_MUCH = "This call holds far more than its fields can take."


class UploadError(ImageError):
    """A stranger's file cannot be used; the message is for the visitor."""


def admit_all(values: list[Any], is_picture: Callable[[int], bool]) -> list[Any]:
    """What an endpoint was sent, as it may go on to Gradio.

    Args:
        values: of its fields, in order.
        is_picture: whether the field of that number takes a picture. In no other a file has any business.

    Raises:
        UploadError: a file that may not pass, in whatever field; or too much that is no picture.
    """
    for value in values:
        if isinstance(value, Refused):
            raise UploadError(value.sentence)
    pictures = [is_picture(number) for number in range(len(values))]
    # All others first: what is refused leaves no file behind.
    check_plain([value for value, so in zip(values, pictures, strict=True) if not so])
    return [admit_picture(value) if so else value for value, so in zip(values, pictures, strict=True)]


class Refused(NamedTuple):
    """Stands for what was refused before its turn came, which need not be kept until then."""

    sentence: str


def admit_picture(value: Any) -> dict[str, Any] | None:
    """What a picture's field was sent: None, or a file that may pass, and nothing else that was said of it.

    Base64 is kept as an upload, so that a session that lasts does not hold it.
    """
    if value is None:
        return None
    path, url = (value.get("path"), value.get("url")) if isinstance(value, dict) else (value, None)
    for text in (url, path):
        if isinstance(text, str) and text.startswith("data:"):
            return _upload(save_bytes_to_cache(_decoded(text), "picture.png", get_upload_folder()))
    if not isinstance(path, str):
        raise UploadError(REFUSAL)
    name = os.path.abspath(path)  # noqa: PTH100 - links are left to the descriptor that is opened
    os.close(_opened(name))
    # Without `meta` Gradio lets it be; with it, it would refuse the examples.
    return {"path": name} if _is_example(name) else _upload(name)


def _upload(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _decoded(url: str) -> bytes:
    header = DATA_URL.match(url, 0, 200)
    if header is None:
        raise UploadError(REFUSAL)
    if len(url) - header.end() > MAX_BYTES * 4 // 3 + 4:
        raise UploadError(_too_long())
    try:
        return base64.b64decode(url[header.end() :])
    except (binascii.Error, ValueError):
        return b""  # which is no picture


def check_plain(value: Any, *, with_files: bool = False) -> None:
    """Refuse a JSON value that is too much, or has in it, however deep, what could be taken for a file.

    Args:
        value: what was sent.
        with_files: whether it may have files in it, since nobody takes them for such.

    Raises:
        UploadError: it is so.
    """
    waiting, room = [value], MOST_BESIDES
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and not with_files and any(mark in value for mark in FILE_MARKS):
            raise UploadError(REFUSAL)
        room -= 1 + (len(value) if isinstance(value, str | dict | list | tuple) else 0)
        if room < 0:
            raise UploadError(TOO_MUCH)
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value


def read(path: str) -> bytes:
    """The content of a file that a stranger named.

    Raises:
        UploadError: it is neither an upload nor an example, or too long.
    """
    descriptor = _opened(os.path.abspath(path))  # noqa: PTH100 - as in `admit_picture`
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UploadError(_too_long())
    return data


def _too_long() -> str:
    return f"This file is too large; the limit is {settings.limits.file_megabytes} MB."


def _opened(name: str) -> int:
    """A descriptor of a regular file that may pass; nothing outside of the allowed folders is even touched.

    A FIFO or a device does not make it wait.
    """
    if not _may_pass(name):
        raise UploadError(REFUSAL)
    options = os.O_RDONLY
    for option in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):  # Windows has only the last one
        options |= getattr(os, option, 0)
    try:
        descriptor = os.open(name, options)
    except (OSError, ValueError):
        raise UploadError(REFUSAL) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _may_pass(_real_path(descriptor, name)):
            raise UploadError(REFUSAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _real_path(descriptor: int, name: str) -> str:
    """The path of what was opened, without links."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:  # no Linux: at least the name must still mean that very file
        real = os.path.realpath(name)
        if not os.path.samestat(os.fstat(descriptor), os.lstat(real)):
            raise UploadError(REFUSAL) from None
        return real


def _may_pass(name: str) -> bool:
    folder = os.path.abspath(get_upload_folder())  # noqa: PTH100
    inside = any(name.startswith(root.rstrip(os.sep) + os.sep) for root in (folder, os.path.realpath(folder)))
    return inside or _is_example(name)


def _is_example(name: str) -> bool:
    folder, file = os.path.split(name)
    return (
        folder in (os.path.abspath(EXAMPLES), os.path.realpath(EXAMPLES))  # noqa: PTH100
        and os.path.splitext(file)[1] in EXAMPLE_SUFFIXES  # noqa: PTH122
    )
