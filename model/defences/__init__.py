"""Defences by name: what stands between a picture and the classifier.

Adding one is a :class:`Defence` with ``about`` and ``forward`` and a line in :data:`DEFENCES`. One that
cannot be differentiated says what stands in for its gradient, or the attacker of the evaluation is told
nothing and the checks report it as masked.
"""

from model.defences.base import Defence, Nothing, UnknownDefenceError
from model.defences.classic import BitDepth, GaussianNoise, Jpeg, JpegByNoise, Median
from model.defences.learned import Codec, Denoising
from model.defences.registry import AUTHORS, DEFENCES, DefenceName, load_authors, load_defence

__all__ = [
    "AUTHORS",
    "DEFENCES",
    "BitDepth",
    "Codec",
    "Defence",
    "DefenceName",
    "Denoising",
    "GaussianNoise",
    "Jpeg",
    "JpegByNoise",
    "Median",
    "Nothing",
    "UnknownDefenceError",
    "load_authors",
    "load_defence",
]
