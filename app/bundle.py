"""A run to take home: its pictures, its code, its result, and a program that repeats it, in one archive."""

import io
import json
import zipfile

from app import figures, snippets
from app.images import encode, to_picture
from app.measure import packed
from app.scenario import Outcome

PROGRAM = "reproduce.py"
BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an archive can tell: with it, the same run is the same archive, byte for byte."""


def bundle(outcome: Outcome) -> bytes:
    """A ZIP archive of a run.

    ``original.png`` and ``adversarial.png`` are exactly what was attacked and classified; ``code.npz`` is the
    packed code of the latter, ``reconstruction.png`` what it is rebuilt to, in 8 bits. ``perturbation.png``
    and ``code.png`` are for the eye. ``result.json`` says what was asked and found, and ``reproduce.py``
    repeats it.
    """
    pictures = {
        "original": to_picture(outcome.original),
        "perturbation": figures.perturbation(outcome.original, outcome.adversarial),
        "adversarial": to_picture(outcome.adversarial),
        "code": figures.code_mosaic(outcome.code_adversarial, outcome.code_original),
        "reconstruction": to_picture(outcome.defended_adversarial),
    }
    contents = {f"{name}.png": encode(picture, "PNG") for name, picture in pictures.items()}
    contents["code.npz"] = packed(outcome.code_adversarial, outcome.adversarial)
    contents["result.json"] = json.dumps(outcome.summary(), indent=2).encode()
    contents[PROGRAM] = snippets.program(outcome.scenario).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, BEGINNING)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
