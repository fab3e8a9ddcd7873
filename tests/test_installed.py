"""The wheel: built, installed outside of the clone, and used there."""

import os
import shutil
import site
import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from app.benchmark import served
from app.opening import example_pictures
from app.page.build import SCRIPT, STYLES
from app.places import PUBLISHED
from model.evaluate import published
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PACKAGES = ("app", "model", "weights")
LEFT_OUT = {"app/screenshot.jpg", "app/screenshot-phone.jpg", "app/page/components.pyi"}
"""Pictures of the README, and the stub that Gradio writes."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since setuptools leaves its folders beside what it builds."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.pyi")
        )
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        source,
    )
    (built,) = out.glob("*.whl")
    return built


def environment(folder: Path) -> Path:
    """The interpreter of a new one, which sees what the environment of the tests has."""
    venv.create(folder, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    interpreter = scripts / Path(sys.executable).name
    own = run(interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(own, "others.pth").write_text("\n".join(site.getsitepackages()))
    return interpreter


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel."""
    interpreter = environment(tmp_path_factory.mktemp("environment"))
    run(sys.executable, "-m", "pip", "--python", interpreter, "install",
        "--no-index", "--no-deps", "--ignore-installed", wheel)  # fmt: skip
    return interpreter


def run(*command: object, cwd: Path | None = None) -> str:
    """What a command prints, without the clone in its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def says(python: Path, folder: Path, program: str) -> list[str]:
    """The lines that a Python program prints in a folder."""
    return run(python, "-c", textwrap.dedent(program), cwd=folder).splitlines()


def test_the_wheel_holds_all_that_is_in_the_packages(wheel):
    here = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file()
        and path.suffix not in {".pyc", ".jsonl"}  # who goes on with a journal has the repository
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.partition("/")[0] in PACKAGES}
    assert packed == here - LEFT_OUT


def test_every_shipped_model_loads_and_the_lines_of_the_readme_run(python, tmp_path):
    lines = says(
        python,
        tmp_path,
        """
        import sys, torch
        from model import ComDefend, DefendedClassifier, load_classifier
        codec = ComDefend.from_pretrained("weights/comdefend-cifar10-purify")
        safe = DefendedClassifier(load_classifier("cifar10"), codec)
        print(*safe(torch.rand(2, 3, 32, 32)).shape)
        print("gradio" in sys.modules)

        from model import files, zoo
        from model.denoiser import Denoiser
        print(files.REPOSITORY)
        for name in zoo.DENOISERS:
            Denoiser.from_pretrained(name)
            print("denoiser", name)
        for name in zoo.CODECS:
            ComDefend.from_pretrained(name)
            print("codec", name)
        for name, entry in zoo.CLASSIFIERS.items():
            if entry.has_folder or name.startswith("imagenet-lite") or name == "imagenet":
                load_classifier(name)
                print("classifier", name)
        """,
    )
    assert lines[:2] == ["2 10", "False"]
    assert Path(lines[2]).is_relative_to(python.parent.parent)
    folders = {path.name for path in (ROOT / "weights").iterdir()}
    loaded = {line.split()[1] for line in lines[3:]}
    assert folders <= loaded
    assert loaded - folders == {"imagenet", "imagenet-lite1", "imagenet-lite2"}


@pytest.mark.server
def test_the_command_serves_the_page(python, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.png").write_bytes(b"secret")
    installed = Path(says(python, tmp_path, "from model import files; print(files.REPOSITORY)")[0])
    with (
        served("cpu", [str(python.with_name("comdefend-lab"))], tmp_path) as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        config = http.get("/config").json()
        assert SCRIPT.read_text() in config["head"]
        assert all(path.read_text() in config["css"] for path in STYLES)
        page = {it["props"].get("elem_id"): it["props"].get("value") for it in config["components"]}
        assert len(page["examples"]) == len(example_pictures())
        offered = [
            it["props"]["choices"] for it in config["components"] if it["props"].get("elem_id") == "report-of"
        ]
        assert [[name for _, name in choices] for choices in offered] == [list(published(PUBLISHED.reports))]
        examples = installed / "app" / "examples"
        picture = http.get(f"/gradio_api/file={examples / 'ship.png'}")
        assert picture.content == (examples / "ship.png").read_bytes()
        own = ("model/files.py", "app/page/page.js", "weights/cifar10/config.json")
        for hidden in (tmp_path / "secret.png", *(installed / name for name in own)):
            assert http.get(f"/gradio_api/file={hidden}").status_code == 403
    assert {path.name for path in tmp_path.iterdir()} <= {"secret.png", ".gradio"}


def test_a_visitor_may_name_examples_of_the_installation_and_nothing_else_there(python, tmp_path):
    lines = says(
        python,
        tmp_path,
        """
        from pathlib import Path
        from app.uploads import EXAMPLES, UploadError, admit_picture
        from model import files

        Path("own.png").write_bytes(b"")
        own = ("app/report/cifar10/examples.png", "weights/cifar10/config.json")
        for path in (EXAMPLES / "ship.png", EXAMPLES / "SOURCES.md", Path("own.png").resolve(),
                     *(files.REPOSITORY / name for name in own)):
            try:
                admit_picture({"path": str(path)})
                print("admitted", path.name)
            except UploadError:
                print("refused", path.name)
        """,
    )
    assert lines == ["admitted ship.png", "refused SOURCES.md", "refused own.png",
                     "refused examples.png", "refused config.json"]  # fmt: skip


def test_a_training_writes_into_the_current_folder_and_its_weights_are_found_there(python, dataset, tmp_path):
    run(python.with_name("comdefend-lab"), "--train", "codec", "--com", "8,12", "--rec", "8,3",
        "--data", dataset, "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--force",
        cwd=tmp_path)  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "weights"}
    new = tmp_path / "weights" / "comdefend-cifar10"
    assert "comdefend-lab --train codec" in (new / "README.md").read_text()
    lines = says(
        python,
        tmp_path,
        """
        from model import ComDefend, pretrained, zoo
        print(zoo.CODECS["comdefend-cifar10"].folder.resolve())
        print(pretrained.find_folder("weights/cifar10") == pretrained.WEIGHTS / "cifar10")
        for name in ("comdefend-cifar10", pretrained.WEIGHTS / "comdefend-cifar10"):
            print(*ComDefend.from_pretrained(name).config.com_widths[:2])
        """,
    )
    assert Path(lines[0]) == new.resolve()
    assert lines[1:] == ["True", "8 12", "16 32"]


def test_an_editable_installation_is_the_clone(tmp_path):
    source = tmp_path / "clone"
    for name in ("app", "model", "weights/cifar10"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.pyi")
        )
    for name in ("app.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    editable = environment(tmp_path / "environment")
    run(sys.executable, "-m", "pip", "--python", editable, "install", "--no-index", "--no-deps",
        "--no-build-isolation", "--force-reinstall", "-e", source)  # fmt: skip
    lines = says(
        editable,
        tmp_path,
        """
        from app.page import build
        from model import files, load_classifier
        load_classifier("cifar10")
        print(files.REPOSITORY)
        print(files.WORKPLACE)
        print(build.SCRIPT)
        """,
    )
    assert lines == [str(source), str(source), str(source / "app" / "page" / "page.js")]
