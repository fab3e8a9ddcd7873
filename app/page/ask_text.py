"""What the page says where it is asked more, as far as that does not depend on what is found."""

HEADING = "Ask more of it"
TABS = {
    "breaking": "Breaking",
    "defences": "Defences",
    "fifty": "Fifty",
    "planes": "Planes",
}
ABOUT = {
    "breaking": (
        "The smallest strength at which this picture breaks, for both attackers: found by bisection, up to "
        "32/255, with the attack, steps, target, seed and codec that are set. “Broken” means that the "
        "picture is no longer read as the original is without ComDefend; with a target, that it is taken for "
        "that."
    ),
    "defences": (
        "The adversarial picture of the run that is shown, through every defence there is. Choose a line to "
        "see what it makes of the picture; a codec is also taken for a new run, with that line's planes."
    ),
    "fifty": (
        "One picture is no rule. This attacks five test pictures of each class of CIFAR-10, at four "
        "strengths, with the attack, steps, seed and codec that are set, and no target. The first ten "
        "pictures give all curves, the others make them surer."
    ),
    "planes": (
        "The planes of the adversarial picture's code, in the order in which the dial keeps them. Hover or "
        "focus one to see it large; press it to switch it off: all its bits are then 0, as when the dial "
        "cuts it away. Orange bits were turned from 0 to 1 by the attack, blue ones from 1 to 0."
    ),
}
START = {
    "breaking": "Find the four strengths",
    "defences": "Ask all defences",
    "fifty": "Attack fifty pictures",
    "planes": "Measure each plane",
}
DONE = "Done."
STOPPED = "Stopped. What was found until then stands."
NO_RUN = "Attack a picture first: this is asked of the run that is shown."
QUESTIONS = {
    ("grey-box", "classifier"): "Knows the classifier only: fools the classifier",
    ("grey-box", "comdefend"): "Knows the classifier only: gets through ComDefend",
    ("adaptive", "classifier"): "Knows both: fools the classifier, at which it does not aim",
    ("adaptive", "comdefend"): "Knows both: gets through ComDefend",
}
"""By attacker, and by who looks at his picture."""
AXIS = "Strength, in 1/255"
HELD_WORDS = {"held": "held", "fell": "fell", "harmful": "wrong without an attack"}
COLUMNS = ("Defence", "Reads it as", "Confidence", "Verdict", "Bits per pixel", "ms")
STRIP = {"original": "Original", "adversarial": "Adversarial", "rebuilt": "Through {}"}
LINES = {
    "none": "the classifier alone",
    "grey-box": "through ComDefend, grey-box",
    "adaptive": "through ComDefend, adaptive",
}
ACCURACY = "Classified rightly, %"
GROUPS = ("First quarter of the planes", "Second quarter", "Third quarter", "Last quarter")
ALL_PLANES = "Planes"
GROUP_SWITCH = "Switch these off or on"
LARGE = "The plane in hand, large"
ALL_ON = "Switch all on"
WITHOUT = {
    "original": "Original, rebuilt without these planes",
    "adversarial": "Adversarial, rebuilt without these planes",
}
