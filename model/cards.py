"""Model cards, generated from the record of the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from model import curve
from model.config import ClassifierConfig, CodecConfig, Config, DenoiserConfig, in_words
from model.recipes.classifier import TRAINED, UNTRAINED
from model.recipes.settings import spelled_out
from model.zoo import PURIFY, pairs

CITATION = """```bibtex
@inproceedings{jia2019comdefend,
  title     = {ComDefend: An Efficient Image Compression Model to Defend Adversarial Examples},
  author    = {Jia, Xiaojun and Wei, Xingxing and Cao, Xiaochun and Foroosh, Hassan},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {6084--6092},
  year      = {2019}
}
```"""


PURIFYING = (
    " Trained to purify: noisy pictures in, clean pictures out that mean the same to classifiers; any number "
    "of the code's planes may be dropped from the last one on. It started from the codec that the paper's "
    "loss gave; no adversarial picture was used."
)
LIGHT = (
    " Trained to purify, from nothing and by one run: noisy pictures in, clean pictures out that mean the "
    "same to classifiers; any number of the code's planes from an eighth on may be kept. No adversarial "
    "picture was used in training."
)
TUNED = (
    " Tuned to the reconstructions of the codec `{codec}`, from {start}; its accuracy is on reconstructions, "
    "too."
)
RULE = " (a rule that was chosen after a training, on photographs that are only scored, under FGSM and BIM)"
ANSWERS = (
    " Tuned to say of what the codec `{codec}` makes of photographs, clean and noisy ones, what "
    "`{start}` says of the photographs; without labels, and without adversarial pictures."
)
LISTED = 20
"""More classes than these are not named."""
(PAIR,) = pairs()
ADVERSARIAL = {
    "adversarial": " Trained on adversarial pictures, without a codec.",
    "robust": f" Codec and classifier (`{PAIR.codec}`, `{PAIR.classifier}`) were trained together, "
    "on adversarial pictures of an attacker who knows both; the figures are those of the two together.",
}
CAUTIONS = {
    "codec": "No attacker is involved in these figures: accuracy under attack is in the report of the "
    "evaluation. An attacker who knows the codec and differentiates through it (adaptive) is not stopped by "
    "it.",
    "denoiser": "It has seen attacks like these in training. An attacker who knows the denoiser, too "
    "(adaptive), is not stopped by it.",
    "classifier": "Without a defence, this classifier does not stand up to white-box attacks; what they "
    "leave is in the reports of the evaluation.",
    "adversarial": "PGD is not the strongest attack, so its figure is an upper bound of what an attacker "
    "leaves: stronger attacks may leave less.",
}


class Facts(NamedTuple):
    """What a card says of a kind of model."""

    title: str
    task: str
    tags: tuple[str, ...]
    what: str
    scores: list[tuple[str, str]]
    caution: str


def write_card(folder: Path, config: Config, record: dict[str, Any]) -> None:
    """Write ``README.md`` of a model folder, and the training curve that it shows, from ``history.json``."""
    (folder / "README.md").write_text(card(config, record), encoding="utf-8")
    curve.write(folder, record)


def _codec_facts(config: CodecConfig, record: dict[str, Any]) -> Facts:
    test = record["test"]
    what = (
        f"ComCNN and RecCNN of ComDefend: a picture through a binary code of {config.bits_per_pixel:g} bits "
        f"per pixel and back. {record['parameters']:,} parameters."
    )
    if config.downscale > 1:
        what += (
            f" The light shape: {config.planes} binary planes at 1/{config.downscale} of the picture's "
            f"sides, {config.multiply_adds:,.0f} multiply-adds per pixel of the picture (the paper's shape "
            f"has {CodecConfig().multiply_adds:,.0f}), and a code whose logits are normalised."
        )
    if config.kept is not None:
        if isinstance(config.kept, tuple):
            kept = f"it is by how noisy the picture is: {in_words(config.kept)}"
            kept += RULE if record["recipe"]["task"] == "photo" else ""
        else:
            kept = f"{config.kept} are, {config.kept / config.planes:.0%} of the code"
        what += f" Where nobody says how many of the planes are kept, {kept}; the figures here are of all."
    scores = []
    if "psnr_db" in test:
        scores += [
            ("PSNR of the reconstruction, hard codes, mean of per-image values", f"{test['psnr_db']:.2f} dB"),
            ("SSIM of the reconstruction, hard codes", f"{test['ssim']:.4f}"),
        ]
    if "agreement" in test:
        what += PURIFYING if record["recipe"]["task"] == "purify" else LIGHT
        scores += [
            ("Reconstructions of noisy pictures that mean to a guide what the clean ones mean",
             f"{test['agreement']:.1%}"),
            ("The same, of clean pictures", f"{test['clean_agreement']:.1%}"),
        ]  # fmt: skip
    tags = ("adversarial-robustness", "image-compression")
    return Facts("ComDefend codec", "image-to-image", tags, what, scores, CAUTIONS["codec"])


def _classifier_facts(config: ClassifierConfig, record: dict[str, Any]) -> Facts:
    names = f" ({', '.join(config.classes)})" if len(config.classes) <= LISTED else ""
    what = (
        f"{config.arch} on {config.image_size}x{config.image_size} pictures, {len(config.classes):,} "
        f"classes{names}. {record['parameters']:,} parameters. "
        f"It takes RGB in [0,1] and normalises inside."
    )
    scores: list[tuple[str, str]] = []
    if record["recipe"]["task"] == "classifier-on-reconstructions":
        settings = record["recipe"]["settings"]
        # Records did not always say what the run was tuned to, or from what it started.
        start = settings.get("start") or TRAINED[settings["arch"]].folder
        weights = "untrained weights" if start == UNTRAINED else f"the weights of `{start}`"
        what += TUNED.format(codec=settings.get("codec") or PURIFY, start=weights)
    if record["recipe"]["task"] == "answers":
        what += ANSWERS.format(**record["recipe"]["settings"])
        scores = [
            (f"{which} photographs whose reconstruction it says the same of", f"{record['test'][name]:.1%}")
            for name, which in (("clean_agreement", "Clean"), ("agreement", "Noisy"))
        ]
    tags = ("image-classification",)
    title = f"{config.arch} classifier"
    return Facts(title, "image-classification", tags, what, scores, CAUTIONS["classifier"])


def _denoiser_facts(record: dict[str, Any]) -> Facts:
    classifier, test = record["recipe"]["settings"]["against"], record["test"]
    what = (
        f"A denoising U-Net (HGD; Liao et al. 2018, made small), trained on adversarial pictures of "
        f"`{classifier}`: it gives back pictures of which that classifier says what it says of the clean "
        f"ones. {record['parameters']:,} parameters."
    )
    scores = [
        (f"Accuracy of `{classifier}` behind it, clean (no attacker)", f"{test['clean_accuracy']:.2%}"),
        ("The same under BIM, 8/255, 10 steps, by an attacker who knows the classifier alone (grey-box)",
         f"{test['attacked_accuracy']:.2%}"),
    ]  # fmt: skip
    return Facts(
        "HGD denoiser", "image-to-image", ("adversarial-robustness",), what, scores, CAUTIONS["denoiser"]
    )


def _facts(config: Config, record: dict[str, Any]) -> Facts:
    if isinstance(config, CodecConfig):
        facts = _codec_facts(config, record)
    elif isinstance(config, DenoiserConfig):
        facts = _denoiser_facts(record)
    elif isinstance(config, ClassifierConfig):
        facts = _classifier_facts(config, record)
    else:
        raise TypeError(f"no card for {type(config).__name__}")
    test, task = record["test"], record["recipe"]["task"]
    scores = [*facts.scores]
    for name, about in (
        ("accuracy", "Clean accuracy (no attacker)"),
        ("robust_accuracy", "Accuracy under PGD, 20 steps, by an attacker who knows all (adaptive)"),
    ):
        if name in test:
            interval = f"{test[f'{name}_low']:.2%} to {test[f'{name}_high']:.2%}"
            scores.append((about, f"{test[name]:.2%} (95 % interval {interval})"))
    if task not in ADVERSARIAL:
        return facts._replace(scores=scores)
    return facts._replace(scores=scores, what=facts.what + ADVERSARIAL[task], caution=CAUTIONS["adversarial"])


def _chosen(record: dict[str, Any]) -> str:
    """Which weights of the run these are."""
    if held_out := record.get("held_out"):
        return (
            f"These are the weights of the epoch that stood best against PGD on {held_out:,} training "
            f"pictures held out of the training."
        )
    return "These are the run's last weights, not its best on the test pictures."


def _curve(record: dict[str, Any]) -> str:
    """The training curve, and where its figures are."""
    shown = f"![{curve.summary(record)}]({curve.FILE})\n\n" if curve.worth_drawing(record) else ""
    return f"{shown}Its figures are in `history.json`."


def card(config: Config, record: dict[str, Any]) -> str:
    """A model card, as text."""
    facts = _facts(config, record)
    return f"""---
library_name: comdefend
license: mit
pipeline_tag: {facts.task}
tags:
{chr(10).join(f"- {tag}" for tag in facts.tags)}
---

# {facts.title}

{_description(facts, record)}

## Training

{_training(record)}

## Training curve

{_curve(record)}

## Citation

{CITATION}
"""


def page_text(config: Config, record: dict[str, Any]) -> str:
    """What a page of something else says of a model: its card, but for how to train it anew."""
    description = _description(_facts(config, record), record)
    return f"{description}\n\n**Training**\n\n{_length(record)}\n\n{_chosen(record)}"


def _description(facts: Facts, record: dict[str, Any]) -> str:
    """What a model is, what it scored, and what that does not mean."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.scores)
    return f"""{facts.what}

| on {record["test_images"]:,} test pictures | |
|---|---|
{rows}

{facts.caution}"""


def _training(record: dict[str, Any]) -> str:
    """How a model came to be."""
    earlier = "".join(
        f"\n- Before that: {run['steps']:,} steps in {run['minutes']:g} minutes; settings: {_settings(run)}; "
        f"`{run['command']}`"
        for run in _runs_before(record)
    )
    return f"""{_length(record)}
- Settings: {_settings(record)}
- Command: `{record["command"]}`{earlier}

{_chosen(record)}"""


def _length(record: dict[str, Any]) -> str:
    """On what a model was trained, and for how long."""
    recipe = record["recipe"]
    shared = f", {record['processes']} processes" if record.get("processes", 1) > 1 else ""
    epochs = recipe["epochs"] or record["epochs"][-1]["epoch"]
    return f"""- Data: {recipe["data"]}
- Length: {record["steps"]:,} steps of {recipe["batch_size"]} ({epochs:g} epochs)
- Time: {record["minutes"]:g} minutes on: {record["device"]}{shared}
- Learning rate {recipe["learning_rate"]:g}, seed {recipe["seed"]}, precision {recipe["precision"]}"""


def _settings(record: dict[str, Any]) -> str:
    """What a run could choose and did; recipes without a choice are as they are in the code.

    An empty ``start`` is left out: what is meant by it is another thing for each task.
    """
    settings = {name: value for name, value in record["recipe"].get("settings", {}).items() if value != ""}
    return ", ".join(spelled_out(settings)) or "the recipe's"


def _runs_before(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of the runs whose weights a run started from, the last one first."""
    while "before" in record:
        record = record["before"]
        yield record
