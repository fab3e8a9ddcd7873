"""Every word of the page that does not depend on a run. What does is in :mod:`app.words`."""

TITLE = "ComDefend lab"
INTRO = """
# ComDefend lab

**Attack a picture, and see what a binary code leaves of the attack.** ComDefend squeezes the picture
through a binary code of at most 12 bits per pixel and rebuilds it; the classifier stays as it is.
"""

HOW = """
An attack changes a picture by amounts too small to see, in the direction that the classifier minds
most. ComDefend stands before the classifier. Its first network, ComCNN, gives each pixel 12 numbers, of
which only the signs are kept: the binary code. Its second network, RecCNN, rebuilds the picture from those
bits alone. A perturbation that flips no bit is gone entirely; one that flips bits leaves a trace of each. One
codec was trained with noise on the 12 numbers, as the paper has it; the others with noise on the pictures, so
that they remove more. The codec of photographs is light: it folds 4 × 4 pixels into one place, which gets 192
numbers, and costs a twentieth of the work. No attack was ever shown to any of them.

The classifier is not touched, and does not know: the same codec stands before any of them.
"""

FAILS = """
- **Against an attacker who knows of it.** The code's threshold has no gradient, but a smooth stand-in for
  it has, and that is enough. Choose *Knows both*, and watch the code bend to the attack.
- **Against larger perturbations.** A code that rebuilds a picture faithfully rebuilds its perturbation, too.
  A purifying codec loses more of it, and pays with the picture's detail. How much, the second tab says.
- **Sometimes without any attack.** The reconstruction is not the original, and a picture that was close
  to the border between two classes can fall to the other side.
- **Against other things than small perturbations:** stickers, rotations, other pictures.

It is a subject of research, not a protection to rely on.
"""

HOW_HEADING = "How it works"
FAILS_HEADING = "Where it fails"
TRAINED = "How the codec was trained: {}, {}"
"""A codec's name, and what it is."""

ATTACK_TAB = "Attack a picture"
REPORT_TAB = "How well it defends"

EXAMPLES_HINT = "Or one of four photographs and ten CIFAR-10 test pictures:"
MORE = "More"
AUTOMATIC = "Automatic, by the picture's size"
LABELS = {
    "examples": "Example pictures",
    "image": "Picture",
    "preview": "What is used of it",
    "classifier": "Classifier",
    "codec": "Codec",
    "planes": "Planes of the code that are kept, in % (fewer: not for the paper's loss)",
    "attack": "Attack",
    "target": "Target: what it is to be taken for",
    "alone": "Run as I change things",
    "threat_model": "The attacker",
    "epsilon": "Strength, in 1/255",
    "seed": "Seed",
    "detail": "Shown in detail",
    "left": "On the left",
    "right": "On the right",
}
"""How the controls are called. That of the steps is the attack's own."""
ALT_TEXTS = {
    "original": "The original picture, as the classifier gets it",
    "perturbation": "The perturbation, magnified around grey",
    "adversarial": "The adversarial picture",
    "code": "The binary planes of the adversarial picture's code, flipped bits in colour",
    "reconstruction": "What ComDefend rebuilds of the adversarial picture",
    "planes_original": "The binary planes of the original's code",
    "planes_adversarial": "The binary planes of the adversarial picture's code, flipped bits in colour",
    "difference": "Reconstruction minus original, magnified around grey",
}
PREVIEW_ALT = "The picture; what is cut away is dark"
ANY_OTHER = ("any other", "")
"""No target: its name, and its value."""

ATTACKERS = {"grey-box": "Knows the classifier only (grey-box)", "adaptive": "Knows both (adaptive)"}
BOTH_ATTACKERS = "Both, next to each other"

ATTACK_BUTTON = "Attack it"
STOP_BUTTON = "Stop"
READY = f"Press **{ATTACK_BUTTON}** to see what happens to this picture."
OPENING = "The first run is being computed on this machine. It appears here by itself."
OPENED = "This run was computed when the lab was started. Change anything, and it runs again."
WAITING = "Waiting for the machine …"
STALE = f"Press **{ATTACK_BUTTON}** to see what becomes of this. What is shown is of the run before."
NO_PICTURE = "Choose a picture: upload one, or click an example."
STOPPED = f"Stopped. Press **{ATTACK_BUTTON}** to start anew."
UNDER_ATTACK = "**Under attack …**"
FLIP_BUTTON = "Flip to the run before"
FLIPPED = "This is the run before. Flip once more to come back."
DONE = "Done in {}."

STRIP = {
    "original": "Original",
    "perturbation": "Perturbation",
    "adversarial": "Adversarial",
    "code": "Binary code",
    "reconstruction": "Reconstruction",
}
PLANES = {
    "planes_original": "Of the original",
    "planes_adversarial": "Of the adversarial picture",
}
DOWNLOADS = {
    "adversarial_file": "Adversarial picture (PNG)",
    "code_file": "Its packed code (NPZ)",
    "summary_file": "The run (JSON)",
}
PICTURES = {
    **STRIP,
    "clean_reconstruction": "Reconstruction of the original",
    "difference": "Reconstruction minus original",
}
"""What the before/after slider can compare, any two of them."""
PAIR = ("original", "adversarial")
"""What it compares at first."""
SLIDER = "Share of the picture that shows: {}"
BARE = "The classifier says"
DEFENDED = "Through ComDefend"
BARE_LINE = "without ComDefend"
DEFENDED_LINE = "through ComDefend"
TRAIL = "Confidence in “{}”, step by step. A ring: something else is thought more probable."
CARD_BARE = "Adversarial, the bare classifier"
CARD_DEFENDED = "Adversarial, through ComDefend"

PAIR_HEADING = "Before and after"
DIFFERENCE_HEADING = "What the codec changed"
NUMBERS_HEADING = "In numbers"
DOWNLOADS_HEADING = "To take home"
PLANES_HEADING = "The code, plane by plane"
LEGEND = (
    '<p class="legend">White is 1, black is 0. In the adversarial picture\'s code, '
    '<span class="raised">orange</span> bits were turned from 0 to 1 by the attack, '
    '<span class="lowered">blue</span> ones from 1 to 0.</p>'
)
JSON_HEADING = "The run as JSON"

FAILED_CHECKS = "Checks of the evaluation that failed:"
DRAWINGS = {
    "accuracy": "Accuracy against strength, grey-box and adaptive: the tables say the same.",
    "bits": "Share of code bits that an attack and that noise flip, against strength.",
    "dial": "Accuracy against the number of planes of the code that are kept.",
}
"""The drawings of a report, in the order in which they are shown, and what they show."""
SHEET = "What each codec makes of eight test pictures, attacked and not"
SHEET_ALT = "A sheet of test pictures: clean and attacked, each before and after each codec"
EVERYTHING = "All figures, checks and hyper-parameters: {}"
"""The name of the classifier whose report it is."""

API_LABELS = {
    "image": "Picture",
    "classifier": "Classifier",
    "codec": "Codec",
    "attack": "Attack",
    "threat_model": "Threat model",
    "epsilon": "Epsilon in 1/255, {:g} to {:g}",
    "steps": "Steps; None: the attack's own default",
    "target": "Target, the name of a class; None: any other",
    "seed": "Seed",
    "planes": "Planes kept, 1 to {}; None: all",
    "original": "Original",
    "adversarial": "Adversarial",
    "reconstruction": "Reconstruction",
    "code": "Packed code",
    "result": "Result",
    "prediction": "Prediction",
}
"""How the API's own page calls what the endpoints take and give."""
