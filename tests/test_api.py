"""The endpoints, through gradio_client against a started server, on the repository's weights."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.images import full_size, open_picture
from app.shelf import resolved_codec
from model import ComDefend, load_classifier
from model.attacks import ATTACKS
from model.ops import unpack, unpack_code
from tests.conftest import PHOTOGRAPH
from tests.test_images import bomb

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def client(server) -> Client:
    return Client(server, verbose=False)


def test_the_endpoints_and_their_parameters(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/run", "/defend", "/classify", "/scenarios"}
    parameters = endpoints["/run"]["parameters"]
    assert [p["parameter_name"] for p in parameters] == [
        "image", "classifier", "attack", "threat_model", "epsilon", "steps", "target", "seed", "codec",
        "planes",
    ]  # fmt: skip
    assert not parameters[0]["parameter_has_default"]
    assert {p["parameter_name"]: p["parameter_default"] for p in parameters[1:]} == {
        "classifier": "auto", "attack": "BIM", "threat_model": "grey-box", "epsilon": 4, "steps": None,
        "target": None, "seed": 0, "codec": "auto", "planes": None,
    }  # fmt: skip
    assert all(p["parameter_has_default"] for p in parameters[1:])


def test_a_run_with_defaults(client, example):
    *_, result = client.predict(image=handle_file(example), target=None, api_name="/run")
    assert result["scenario"] == {
        "classifier": "cifar10", "codec": "comdefend-cifar10-purify", "attack": "BIM",
        "threat_model": "grey-box", "epsilon": 4, "steps": 10, "target": None, "seed": 0, "planes": None,
    }  # fmt: skip
    assert result["predictions"]["original"]["label"] == "ship"
    assert result["metrics"]["linf_255"] == 4
    assert result["metrics"]["code_bits_per_pixel"] == 12
    assert [len(p["top"]) for p in result["predictions"].values()] == [5] * 4


def test_the_pictures_of_a_run_are_the_ones_classified(client, example):
    outputs = client.predict(
        image=handle_file(example), attack="FGSM", epsilon=4, threat_model="grey-box", api_name="/run"
    )
    *pictures, packed, result = outputs
    original, adversarial, reconstruction = (full_size(open_picture(path)) for path in pictures)
    assert torch.equal(original, full_size(open_picture(example)))
    assert ((adversarial - original) * 255).abs().max().round() == 4
    classifier, codec = load_classifier("cifar10"), ComDefend.from_pretrained("comdefend-cifar10-purify")
    for x, view in ((adversarial, "adversarial"), (codec(adversarial), "defended_adversarial")):
        best = classifier(x).softmax(1).max(1)
        assert result["predictions"][view]["label"] == classifier.classes[best.indices.item()]
        assert result["predictions"][view]["confidence"] == pytest.approx(best.values.item(), abs=1e-3)
    assert (reconstruction - codec(adversarial)).abs().max() <= 0.6 / 255
    code = unpack_code(Path(packed).read_bytes())
    assert torch.equal(code, codec.compress(adversarial)[0])
    assert result["sizes_bytes"]["packed_code"] == Path(packed).stat().st_size


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_answers(client, example, name):
    steps = {"Square": 50, "DeepFool": 5}.get(name, 3)
    *_, result = client.predict(
        image=handle_file(example), attack=name, steps=steps, threat_model="adaptive", api_name="/run"
    )
    spec = ATTACKS[name]
    assert result["scenario"]["attack"] == name
    assert (result["scenario"]["epsilon"] is None) is not spec.has_epsilon
    assert result["scenario"]["steps"] == (steps if spec.has_steps else None)


@pytest.mark.parametrize(("name", "steps"), [("APGD", 20), ("MI-FGSM", 10)])
def test_no_steps_mean_the_attacks_own_default(client, example, name, steps):
    *_, result = client.predict(image=handle_file(example), attack=name, api_name="/run")
    assert result["scenario"]["steps"] == steps
    assert result["scenario"]["epsilon"] == 4


def test_a_photograph(client, photograph):
    """Its size chooses the classifier, and what was downloaded is what was classified."""
    *pictures, packed, result = client.predict(
        image=handle_file(photograph), attack="FGSM", epsilon=8, api_name="/run"
    )
    assert result["scenario"]["classifier"] == "imagenet"
    assert result["predictions"]["original"]["label"] == "espresso"
    assert result["verdict"]["attack_succeeded"]
    assert result["scenario"]["codec"] == resolved_codec("auto", "imagenet")
    codec = ComDefend.from_pretrained(result["scenario"]["codec"])
    found = unpack(Path(packed).read_bytes())
    adversarial = full_size(open_picture(pictures[1]))
    kept = int(codec.kept_of(adversarial))
    assert kept < codec.planes  # the attack shows
    assert torch.equal(found.code, codec.compress(adversarial)[0, :kept])
    again = client.predict(image=handle_file(pictures[1]), api_name="/classify")
    assert again == {"classifier": "imagenet", **result["predictions"]["adversarial"]}


def test_a_picture_in_a_data_url(client, example):
    url = "data:image/png;base64," + base64.b64encode(example.read_bytes()).decode()
    result = client.predict(image={"url": url, "meta": {"_type": "gradio.FileData"}}, api_name="/classify")
    assert result["label"] == "ship"


def test_a_target(client, example):
    *_, result = client.predict(
        image=handle_file(example), target="frog", epsilon=16, steps=20, api_name="/run"
    )
    assert result["scenario"]["target"] == "frog"
    assert result["verdict"]["attack_succeeded"]
    assert result["predictions"]["adversarial"]["label"] == "frog"


@pytest.mark.parametrize("planes", [None, 5])
def test_defend(client, example, planes):
    picture, packed = client.predict(image=handle_file(example), planes=planes, api_name="/defend")
    codec = ComDefend.from_pretrained("comdefend-cifar10-purify")
    x = full_size(open_picture(example))
    code = unpack_code(Path(packed).read_bytes())
    kept = codec.compress(x, planes)
    assert torch.equal(code, kept[0, :planes])
    wanted = (codec.reconstruct(kept)[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("planes", [None, 6])
def test_a_photograph_of_any_shape_gets_the_codec_of_photographs(client, photograph, tmp_path, planes):
    file = tmp_path / "odd.png"
    open_picture(photograph).crop((0, 0, 173, 94)).save(file)
    picture, packed = client.predict(image=handle_file(file), planes=planes, api_name="/defend")
    found = unpack(Path(packed).read_bytes())
    codec = ComDefend.from_pretrained(resolved_codec("auto", "imagenet"))
    x = full_size(open_picture(file))
    wanted = codec.compress(x, planes)
    assert (found.code == wanted[0, : int(codec.kept_of(x, planes))]).float().mean() > 0.999
    rebuilt = codec.reconstruct(wanted, (94, 173))
    assert (full_size(open_picture(Path(picture))) - rebuilt).abs().mean() < 1 / 255


def test_what_the_papers_codec_takes_too_long_for_is_refused(client, photograph, tmp_path):
    file = tmp_path / "large.jpg"
    open_picture(photograph).resize((3266, 2450)).save(file, quality=80)
    with pytest.raises(AppError, match="comdefend-cifar10 takes up to 4,000,000"):
        client.predict(image=handle_file(file), codec="comdefend-cifar10", api_name="/defend")


def test_classify(client, example):
    result = client.predict(image=handle_file(example), api_name="/classify")
    assert result["classifier"] == "cifar10"
    assert result["label"] == "ship"
    assert result["top"][0] == ["ship", result["confidence"]]


def test_scenarios(client):
    choices = client.predict(api_name="/scenarios")
    json.dumps(choices)
    assert list(choices["attacks"]) == list(ATTACKS)
    assert choices["defaults"] == {
        "classifier": "auto", "codec": "auto", "attack": "BIM", "threat_model": "grey-box",
        "epsilon": 4, "steps": 10, "target": None, "seed": 0, "planes": None,
    }  # fmt: skip
    assert {name: len(classes) for name, classes in choices["classifiers"].items()} == {
        "cifar10": 10, "cifar10-preact": 10, "cifar10-on-reconstructions": 10, "cifar10-smoothed": 10,
        "cifar10-resnet50": 10, "cifar10-resnet50-on-reconstructions": 10,
        "cifar10-robust": 10, "cifar10-adversarial": 10, "fashion-mnist": 10,
        "fashion-mnist-on-reconstructions": 10, "imagenet": 1000, "imagenet-lite1": 1000,
        "imagenet-lite2": 1000, "imagenet-resnet50": 1000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attack": "magic"}, "Unknown attack 'magic'"),
        ({"epsilon": -3}, "needs an epsilon from 1 to 64"),
        ({"epsilon": 0.5}, "needs an epsilon from 1 to 64"),
        ({"epsilon": 1e9}, "needs an epsilon from 1 to 64"),
        ({"target": "ship"}, "the picture is 'ship' already|The picture is 'ship' already"),
        ({"attack": ["FGSM"]}, "Unknown attack"),
        ({"classifier": ["cifar10"]}, "Unknown classifier"),
        ({"steps": 100000}, "from 1 to 200"),
        ({"steps": 1.5}, "must be a whole number"),
        ({"target": "unicorn"}, "no class 'unicorn'"),
        ({"attack": "APGD", "target": "frog"}, "cannot be aimed"),
        ({"threat_model": "telepathic"}, "Unknown threat model"),
        ({"classifier": "mnist"}, "Unknown classifier"),
        ({"codec": "../secrets"}, "Unknown codec"),
        ({"planes": 0}, "1 to 12 planes to keep, not 0"),
        ({"planes": 13}, "1 to 12 planes to keep, not 13"),
        ({"planes": 2.5}, "Planes must be a whole number"),
        ({"seed": 1e30}, "Seed must be a whole number"),
        ({"seed": "many"}, "Seed must be a number"),
        ({"epsilon": "strong"}, "Epsilon must be a number"),
        ({"steps": -1}, "from 1 to 200, got -1"),
        ({"threat_model": "both"}, "Unknown threat model"),
    ],
)
def test_bad_requests_get_one_sentence(client, example, wrong, message):
    with pytest.raises(AppError, match=message) as caught:
        client.predict(image=handle_file(example), api_name="/run", **wrong)
    assert "Traceback" not in str(caught.value)


def no_pictures() -> dict[str, tuple[bytes, str]]:
    """Files that are no usable pictures, with what is said of them."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    return {
        "text.png": (b"hello", "not a picture"),
        "empty.png": (b"", "not a picture"),
        "truncated.jpg": (buffer.getvalue()[: len(buffer.getvalue()) // 2], "damaged"),
        "dot.png": (bomb(1, 1), "at least 4"),
        "wide.png": (bomb(1000, 2), "at least 4"),
        "huge.png": (bomb(20000, 20000), "far too many pixels"),
        "bomb.png": (bomb(2**31 - 1, 2**31 - 1), "pixels"),
    }


@pytest.mark.parametrize("name", no_pictures())
def test_bad_pictures_get_one_sentence_and_the_lab_goes_on(client, tmp_path, example, name):
    data, message = no_pictures()[name]
    (tmp_path / name).write_bytes(data)
    for api_name in ("/run", "/defend", "/classify"):
        with pytest.raises(AppError, match=message) as caught:
            client.predict(image=handle_file(tmp_path / name), api_name=api_name)
        assert "Traceback" not in str(caught.value)
    assert client.predict(image=handle_file(example), api_name="/classify")["label"] == "ship"


def test_no_picture_gets_one_sentence(client):
    for api_name in ("/run", "/defend", "/classify"):
        with pytest.raises(AppError, match="Choose a picture first"):
            client.predict(image=None, api_name=api_name)


def odd_pictures(photograph: Path) -> dict[str, tuple[Image.Image, dict]]:
    """The photograph in forms that a careless reader gets wrong."""
    picture = Image.open(photograph)
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees to the right
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    palette = picture.quantize(255)
    return {
        "cmyk.jpg": (picture.convert("CMYK"), {"quality": 95}),
        "rotated.jpg": (picture.rotate(90, expand=True), {"exif": exif, "quality": 95}),
        "palette.png": (palette, {"transparency": 255}),
        "deep.png": (Image.fromarray(grey), {}),
        "animated.gif": (picture, {"save_all": True, "append_images": [Image.new("RGB", picture.size)]}),
        "alpha.webp": (picture.convert("RGBA"), {"lossless": True}),
    }


@pytest.mark.parametrize("name", odd_pictures(PHOTOGRAPH))
def test_odd_pictures_are_read_rightly(client, tmp_path, photograph, name):
    picture, options = odd_pictures(photograph)[name]
    picture.save(tmp_path / name, **options)
    answer = client.predict(image=handle_file(tmp_path / name), api_name="/classify")
    assert answer["label"] == "espresso"


def test_the_lab_goes_on_after_errors(client, example):
    with pytest.raises(AppError):
        client.predict(image=handle_file(example), attack="magic", api_name="/run")
    assert client.predict(image=handle_file(example), api_name="/classify")["label"] == "ship"


def test_a_codec_that_is_no_choice_cannot_reach_files(client, example):
    with pytest.raises(AppError, match="Unknown codec"):
        client.predict(image=handle_file(example), codec="/etc", api_name="/defend")
