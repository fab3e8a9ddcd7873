"""Model cards, generated from the record of the run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.config import ClassifierConfig, CodecConfig, Config

CITATION = """```bibtex
@inproceedings{jia2019comdefend,
  title     = {ComDefend: An Efficient Image Compression Model to Defend Adversarial Examples},
  author    = {Jia, Xiaojun and Wei, Xingxing and Cao, Xiaochun and Foroosh, Hassan},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {6084--6092},
  year      = {2019}
}
```"""

TITLE = "# "


def write_card(folder: Path, config: Config, record: dict[str, Any]) -> None:
    """Write ``README.md`` of a model folder from ``history.json``'s content."""
    (folder / "README.md").write_text(card(config, record), encoding="utf-8")


def card(config: Config, record: dict[str, Any]) -> str:
    """A model card, as text."""
    recipe, test = record["recipe"], record["test"]
    if isinstance(config, CodecConfig):
        title = "ComDefend codec"
        task, tags = "image-to-image", ["adversarial-robustness", "image-compression"]
        what = (
            f"ComCNN and RecCNN of ComDefend: a picture through a binary code of {config.planes} bits "
            f"per pixel and back. {record['parameters']:,} parameters."
        )
        scores = [
            ("PSNR of the reconstruction, hard codes, mean of per-image values",
             f"{test['psnr_db']:.2f} dB"),
            ("SSIM of the reconstruction, hard codes", f"{test['ssim']:.4f}"),
        ]  # fmt: skip
        if "agreement" in test:
            what += (
                " Trained to purify: noisy pictures in, clean pictures out that mean the same to "
                "classifiers; any number of the code's planes may be dropped from the last one on. "
                "It started from the codec that the paper's loss gave; no adversarial picture was used."
            )
            scores += [
                ("Reconstructions of noisy pictures that mean to a guide what the clean ones mean",
                 f"{test['agreement']:.1%}"),
                ("The same, of clean pictures", f"{test['clean_agreement']:.1%}"),
            ]  # fmt: skip
        caution = (
            "No attacker is involved in these figures: accuracy under attack is in the report of the "
            "evaluation. An attacker who knows the codec and differentiates through it (adaptive) is not "
            "stopped by it."
        )
    elif isinstance(config, ClassifierConfig):
        title = f"{config.arch} classifier"
        task, tags = "image-classification", ["image-classification"]
        what = (
            f"{config.arch} on {config.image_size}x{config.image_size} pictures, {len(config.classes)} "
            f"classes ({', '.join(config.classes)}). {record['parameters']:,} parameters. "
            f"It takes RGB in [0,1] and normalises inside."
        )
        scores = [
            ("Clean accuracy (no attacker)",
             "{accuracy:.2%} (95 % interval {accuracy_low:.2%} to {accuracy_high:.2%})".format(**test)),
        ]  # fmt: skip
        if recipe["task"] == "classifier-on-reconstructions":
            what += (
                " Tuned to the reconstructions of the codec `comdefend-cifar10-purify`, from the weights of "
                "`cifar10`; its accuracy is on reconstructions, too."
            )
        caution = "Without a defence, this classifier falls to every white-box attack."
    else:
        raise TypeError(f"no card for {type(config).__name__}")

    rows = "\n".join(f"| {name} | {value} |" for name, value in scores)
    epochs = recipe["epochs"] or record["epochs"][-1]["epoch"]
    earlier = "".join(
        f"\n- Before that: {run['steps']:,} steps in {run['minutes']:g} minutes; settings: {_settings(run)}; "
        f"`{run['command']}`"
        for run in _runs_before(record)
    )
    return f"""---
library_name: comdefend
license: mit
pipeline_tag: {task}
tags:
{chr(10).join(f"- {tag}" for tag in tags)}
---

{TITLE}{title}

{what}

| on {record["test_images"]:,} test pictures | |
|---|---|
{rows}

{caution}

## Training

- Data: {recipe["data"]}
- Length: {record["steps"]:,} steps of {recipe["batch_size"]} ({epochs:g} epochs)
- Time: {record["minutes"]:g} minutes on: {record["device"]}
- Learning rate {recipe["learning_rate"]:g}, seed {recipe["seed"]}, precision {recipe["precision"]}
- Settings: {_settings(record)}
- Command: `{record["command"]}`{earlier}

These are the run's last weights, not its best on the test pictures. The training curve is in
`history.json`.

## Citation

{CITATION}
"""


def _settings(record: dict[str, Any]) -> str:
    """What a run could choose and did; recipes without a choice are as they are in the code."""
    return ", ".join(record["recipe"].get("settings", ())) or "the recipe's"


def _runs_before(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of the runs whose weights a run started from, the last one first."""
    while "before" in record:
        record = record["before"]
        yield record


def card_body(folder: Path) -> str:
    """What a model's card says of it, without front matter, title and citation; empty without a card."""
    path = folder / "README.md"
    if not path.is_file():
        return ""
    *_, text = path.read_text(encoding="utf-8").partition(f"\n{TITLE}")
    _, _, body = text.partition("\n")
    body, *_ = body.partition("\n## Citation")
    return body.replace("## Training", "**Training**").strip()
