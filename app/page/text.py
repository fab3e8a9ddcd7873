"""Every word of the page that does not depend on a run. What does is in :mod:`app.words`."""

from app.scenario import View

TITLE = "ComDefend lab"
INTRO = """
# ComDefend lab

**Attack a picture, and see what a binary code leaves of the attack.** ComDefend squeezes the picture
through a binary code of at most 12 bits per pixel and rebuilds it; the classifier stays as it is. It was
meant for attackers who do not know of it, and weak perturbations.
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

EXAMPLES_HINT = "Four photographs, and ten CIFAR-10 test pictures of 32 × 32 pixels:"
AUTOMATIC = "Automatic, by the picture's size"
LABELS = {
    "examples": "Example pictures",
    "image": "Picture",
    "preview": "What is used of it",
    "classifier": "Classifier",
    "codec": "Codec",
    "planes": "Planes of the code that are kept, in % (fewer: not for the paper's loss)",
    "attack": "Attack",
    "target": "Target class",
    "threat_model": "The attacker",
    "epsilon": "Strength, in 1/255",
    "seed": "Seed",
    "detail": "Shown in detail",
    "pair": "Compare",
}
"""How the controls are called. That of the steps is the attack's own."""
PREVIEW_ALT = "The picture; what is cut away is dark"
ANY_OTHER = ("any other", "")
"""No target: its name, and its value."""

ATTACKERS = {"grey-box": "Knows the classifier only (grey-box)", "adaptive": "Knows both (adaptive)"}
BOTH_ATTACKERS = "Both, next to each other"

ATTACK_BUTTON = "Attack it"
STOP_BUTTON = "Stop"
READY = f"Press **{ATTACK_BUTTON}** to see what happens to this picture."
STALE = f"{READY} What is shown below is of the one before."
STOPPED = f"Stopped. Press **{ATTACK_BUTTON}** to start anew."
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
VIEW_NAMES: dict[View, str] = {
    "original": "Original",
    "adversarial": "Adversarial",
    "defended_original": "Reconstruction",
    "defended_adversarial": "Reconstruction",
}
PAIRS: dict[str, tuple[View, View]] = {
    "Original and adversarial": ("original", "adversarial"),
    "Adversarial and its reconstruction": ("adversarial", "defended_adversarial"),
    "Original and its reconstruction": ("original", "defended_original"),
}
"""What the before/after slider can compare: two pictures of an outcome."""
SLIDER = "Share of the picture that shows: {}"
BARE = "The classifier says"
DEFENDED = "Through ComDefend"
CARD_BARE = "Adversarial, the bare classifier"
CARD_DEFENDED = "Adversarial, through ComDefend"

PAIR_HEADING = "Before and after"
NUMBERS_HEADING = "In numbers"
DOWNLOADS_HEADING = "To take home"
PLANES_HEADING = "The code, plane by plane"
LEGEND = (
    '<p class="legend">White is 1, black is 0. In the adversarial picture\'s code, '
    '<span class="raised">orange</span> bits were turned from 0 to 1 by the attack, '
    '<span class="lowered">blue</span> ones from 1 to 0.</p>'
)
JSON_HEADING = "The run as JSON"

SHARE_HEADING = "Keep it, link to it, do it from code"
BUNDLE = "The run that is shown: its pictures, its code, its result, and a program that repeats it."
BUNDLE_BUTTON = "Download as ZIP"
BUNDLE_FILE = "The run (ZIP)"
SHARE = (
    "A link opens this page with the same settings on the same example. For a lesson, choose what it hides."
)
HIDE = "Hidden in the link"
HIDEABLE = {
    "examples": "Examples",
    "image": "Picture",
    "attack": "Attack",
    "target": "Target",
    "threat_model": "Attacker",
    "epsilon": "Strength",
    "steps": "Steps",
    "seed": "Seed",
    "classifier": "Classifier",
    "codec": "Codec",
    "planes": "Planes",
}
"""What a link can hide, by the names of the controls."""
LINK_BUTTON = "Copy link"
LINK = "Link"
COPIED = "The link is copied."
NOT_COPIED = "Your browser does not let the page copy: the link is selected, copy it from here."
OWN_PICTURE = "Your own picture is not in it: it opens on the example “{}”."
LEFT_OUT = "This address asks for what is no choice here ({}); the page has its own instead."
CODE = """
The same from code. The files that are named lie in the lab's folder; a file of your own will do as well.

Three lines of Python, without the page:

```python
{python}```

A call of this page from Python (`pip install gradio_client`):

```python
{client}```

A call of this page from a shell:

```bash
{curl}```
"""

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
