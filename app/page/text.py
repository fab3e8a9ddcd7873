"""Every word of the page that does not depend on a run. What does is in :mod:`app.words`."""

TITLE = "ComDefend lab"
INTRO = """
# ComDefend lab

**Attack a picture, and see what a binary code leaves of the attack.** ComDefend squeezes the picture
through a binary code of at most 12 bits per pixel and rebuilds it; the classifier stays as it is.
"""

ATTACK_TAB = "Attack"
REPORT_TAB = "Results"

EXAMPLES_HINT = "Or one of four photographs, and test pictures of CIFAR-10 and Fashion-MNIST:"
MORE = "More"
AUTOMATIC = "Automatic, by the picture's size"
LABELS = {
    "examples": "Example pictures",
    "image": "Picture",
    "preview": "What is used of it",
    "classifier": "Classifier",
    "codec": "Codec",
    "planes": "Planes of the code that are kept, in % (0: as many as the codec is meant to keep)",
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
LEFT_OUT = (
    "This address asks for something that cannot be chosen here ({}); the page uses its default instead."
)
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
    "bits": "Share of code bits that an attack and that noise flip, against strength.",
    "dial": "Accuracy against the number of planes of the code that are kept.",
}
"""The drawings of a report besides its chart, in the order in which they are shown, and what they show."""
SHEET = "What each codec makes of eight test pictures, attacked and not"
SHEET_ALT = "A sheet of test pictures: clean and attacked, each before and after each codec"

# The tab "Results".
REPORT_CHOICE = "Report"
CHART = "Accuracy against strength"
STRENGTH_AXIS, ACCURACY_AXIS = "strength of the attack, in 1/255", "accuracy, %"
CHART_NOTE = (
    "At strength 0 nobody attacks. “Knows the classifier only” is BIM of ten steps on the classifier; “knows "
    "everything” is the worst case of all attacks, those on classifier and defence together among them, "
    "picture by picture."
)
LINE_ATTACKERS = {
    "white-box": "the attacker knows the classifier, which is all there is",
    "grey-box": "the attacker knows the classifier only",
    "adaptive": "the attacker knows everything",
}
"""Who attacks, in the name of a line of the chart."""
DRAWN = "More drawings, and what the codecs make of pictures"
EVERYTHING = "All figures and checks"

# The tab "How it works": sections of at most 90 words, what is computed included.
LEARN_TAB = "How it works"
LESSON_PENDING = "The pictures of this page are being made by the lab itself; they appear here in a moment."
LESSON_FAILED = "The pictures of this page could not be made; the server's log says why."
LESSONS = {
    "example": """
## An adversarial example

A picture, changed by amounts too small to see, in the direction that a classifier minds most: for each
colour value, up or down, whatever makes its answer less likely. People see the same picture as before.
""",
    "codec": """
## A binary code in between

ComDefend stands before a classifier, which stays as it is. ComCNN gives each place of a picture a few
numbers, of which only the signs are kept: the binary code. RecCNN rebuilds the picture from those bits
alone. A change that flips no bit is gone entirely; each flipped bit leaves a trace. A light codec first folds
squares of pixels into one place, and costs a fraction of the work.
""",
    "noise": """
## Why noise makes the code binary

A network that may write any number hides its message in fine differences, and a threshold destroys them. So
the paper (section 3.3) adds noise to ComCNN's numbers in training, before they are squashed to
between 0 and 1. Only what is much larger than the noise gets through, and that is squashed to 0 or 1; a
threshold then costs little.
""",
    "attackers": """
## What the attacker knows

Grey-box: the classifier, but not the codec. This is how the paper measures. Adaptive: both. A threshold has
no gradient, but a smooth stand-in for it has, and that is enough.
""",
    "failures": """
## Where it fails

Against whoever knows of it. Against stronger perturbations: a code that rebuilds pictures faithfully
rebuilds those, too, and one that does not pays with detail. Sometimes without any attack, when a
reconstruction is read differently. And against all that is no small perturbation: stickers, rotations. It is
a subject of research, not a protection to rely on.
""",
}
"""The sections, in their order."""
LESSON_CODEC = "Codec"
SAYS, SAYS_DEFENDED = "The classifier says {}", "Through ComDefend: {}"
"""What is said of a picture: a label with its probability."""
EXHIBITS = {
    "original": ("Original", "The picture before any attack"),
    "perturbation": (
        "Perturbation, magnified",
        "What the attack added, magnified around grey: coloured noise",
    ),
    "adversarial": ("Adversarial", "The picture with the perturbation; it looks much like the original"),
    "picture": ("Picture", "A picture before the codec"),
    "code": (
        "Its code, plane by plane",
        "The planes of the code: white where a bit is 1, black where it is 0",
    ),
    "reconstruction": ("Rebuilt from the code", "The picture that RecCNN rebuilt from the code"),
}
"""The pictures of the sections: what is written beneath, and what is told to those who do not see them."""
NETWORKS = {
    "trained": "The paper's codec, trained under noise",
    "untrained": "The same network before training",
}
TRAINED = "How the codec was trained: {}, {}"
"""A codec's name, and what it is."""

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
    "planes": "Planes kept, 1 to {}; None: as many as the codec is meant to keep",
    "original": "Original",
    "adversarial": "Adversarial",
    "reconstruction": "Reconstruction",
    "code": "Packed code",
    "result": "Result",
    "prediction": "Prediction",
}
"""How the API's own page calls what the endpoints take and give."""
