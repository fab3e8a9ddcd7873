"""Attacks by name: what a page may ask (``catalogue``), and how it is done (``pgd``, ``adapters``).

``pgd`` is FGSM, BIM, PGD and MI-FGSM, one implementation for the page, the evaluation and training.
``adapters`` runs the others, which are torchattacks'. ``rounding`` makes 8-bit pictures of what they find,
``interrupt`` lets a visitor stop them.
"""

from model.attacks.catalogue import (
    ATTACKS,
    EVALUATION_ATTACKS,
    MAX_EPSILON,
    MIN_EPSILON,
    THREAT_MODELS,
    AttackError,
    AttackSpec,
    ThreatModel,
    find_attack,
)
from model.attacks.interrupt import AttackCancelled, interruptible
from model.attacks.rounding import round_and_still_fool, round_inside_ball, round_to_8_bits
from model.attacks.run import attack

__all__ = [
    "ATTACKS",
    "EVALUATION_ATTACKS",
    "MAX_EPSILON",
    "MIN_EPSILON",
    "THREAT_MODELS",
    "AttackCancelled",
    "AttackError",
    "AttackSpec",
    "ThreatModel",
    "attack",
    "find_attack",
    "interruptible",
    "round_and_still_fool",
    "round_inside_ball",
    "round_to_8_bits",
]
