"""A run as code: what to paste into Python or a shell to get the same there, and the program that repeats it.

A few lines each, filled in with a scenario that is resolved: its names are of models. They run as they stand
in the repository's folder, whose examples they name; tests run them.
"""

import json
from dataclasses import asdict
from typing import Any

from app.address import example_files
from app.scenario import AUTO, Scenario
from app.uploads import EXAMPLES
from model.attacks import find_attack
from model.zoo import find_classifier

HOME = "http://127.0.0.1:7860"
"""Where the page is served unless told otherwise."""


def python(scenario: Scenario, example: str) -> str:
    """Three lines, besides what they import: what the classifier says of an example through the codec."""
    codec = f"ComDefend.from_pretrained({_quoted(scenario.codec)})"
    imports = ["from model.data import central_square"]
    if scenario.planes is not None:
        imports.append("from model.defences import Codec")
        codec = f"Codec({codec}, planes={scenario.planes})"
    config = find_classifier(scenario.classifier).config()
    seen = f"{config.image_size}" + (f", {config.crop!r}" if config.crop < 1 else "")
    return f"""\
from PIL import Image
from torchvision.transforms.functional import to_tensor

from model import ComDefend, DefendedClassifier, load_classifier
{chr(10).join(imports)}

safe = DefendedClassifier(load_classifier({_quoted(scenario.classifier)}), {codec})
picture = central_square(Image.open({_quoted(_file(example))}).convert("RGB"), {seen})
print(safe.classes[safe(to_tensor(picture)[None]).argmax()])
"""


def client(scenario: Scenario, example: str, home: str = HOME) -> str:
    """A call of ``/run`` by gradio_client."""
    asked = "".join(f"    {name}={_literal(value)},\n" for name, value in _asked(scenario).items())
    return f"""\
from gradio_client import Client, handle_file

lab = Client({_quoted(home)})
*pictures, code, result = lab.predict(
    image=handle_file({_quoted(_file(example))}),
{asked}    api_name="/run",
)
print(result["verdict"])
"""


def curl(scenario: Scenario, example: str, home: str = HOME) -> str:
    """A call of ``/run`` from a shell, the picture in base64."""
    path = example_files()[example]
    kind = {".jpg": "jpeg", ".png": "png"}[path.suffix]
    asked = json.dumps(_asked(scenario))[1:-1].replace("%", "%%").replace("'", "'\\''")
    return f"""\
lab={home}/gradio_api/call/v2/run
event=$(printf '{{"image": {{"url": "data:image/{kind};base64,%s"}},
  {asked}}}' \\
  "$(base64 < {_file(example)} | tr -d '\\n')" |
  curl -s "$lab" -H 'Content-Type: application/json' -d @- | cut -d '"' -f 4)
curl -sN "$lab/$event"
"""


def program(scenario: Scenario) -> str:
    """Fifteen lines that repeat a run from its ``original.png``, and say whether it came to the same."""
    spec = find_attack(scenario.attack)
    seed = scenario.seed if spec.seeded else None
    settings = {"epsilon": scenario.epsilon, "steps": scenario.steps, "seed": seed}
    told = "".join(f", {name}={_literal(value)}" for name, value in settings.items() if value is not None)
    if scenario.target is not None:
        told += f", target=classifier.classes.index({_quoted(scenario.target)})"
    attacked = "safe" if scenario.threat_model == "adaptive" else "classifier"
    planes = "" if scenario.planes is None else f", planes={scenario.planes}"
    return f'''\
"""Repeats the run in this folder: start it here. `pip install .` in the lab's folder gives it `model`."""

import torch
from torchvision.io import decode_image

from model import ComDefend, DefendedClassifier, attacks, defences, load_classifier, ops

torch.set_flush_denormal(True)  # with this, and models frozen, all bits are the lab's on a like processor
x = decode_image("original.png")[None] / 255  # (1,3,H,W)
classifier = load_classifier({_quoted(scenario.classifier)}).freeze()
codec = ComDefend.from_pretrained({_quoted(scenario.codec)}).freeze()
safe = DefendedClassifier(classifier, defences.Codec(codec{planes}))
found = attacks.attack({_quoted(scenario.attack)}, {attacked}, x, {attacked}(x).argmax(1){told})
code = safe.codec.code(found)[0]  # (planes,h,w)
print("Classifier:", classifier.classes[classifier(found).argmax()])
print("Through ComDefend:", safe.classes[safe(found).argmax()])
print("Same picture:", torch.equal(found, decode_image("adversarial.png")[None] / 255))
with open("code.npz", "rb") as file:
    print("Same code:", torch.equal(code, ops.unpack_code(file.read())))
'''


def _file(example: str) -> str:
    """An example's path from the repository's folder."""
    return example_files()[example].relative_to(EXAMPLES.parent.parent).as_posix()


def _asked(scenario: Scenario) -> dict[str, Any]:
    """What an endpoint has to be told, by its parameters' names."""
    unsaid = {"classifier": AUTO, "codec": AUTO, "seed": 0}
    return {
        name: value
        for name, value in asdict(scenario).items()
        if value is not None and value != unsaid.get(name)
    }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)
