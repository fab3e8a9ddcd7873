import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from app import views
from app.figures import LEAST_PLANE
from app.images import to_picture
from app.lab import Lab
from app.page.text import PAIRS
from app.scenario import Prediction, Scenario


@pytest.fixture
def outcomes(classifier, codec) -> list:
    lab = Lab("cpu")
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10"] = classifier, codec
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    return [
        lab.run(picture, Scenario(classifier="cifar10", threat_model=knowledge, epsilon=16))
        for knowledge in ("grey-box", "adaptive")
    ]


def test_the_strip_shows_what_was_computed(outcomes):
    view = views.strip(outcomes[0])
    assert np.array_equal(np.asarray(view.adversarial), np.asarray(to_picture(outcomes[0].adversarial)))
    assert np.array_equal(
        np.asarray(view.reconstruction), np.asarray(to_picture(outcomes[0].defended_adversarial))
    )
    assert view.summary == outcomes[0].summary()
    assert view.original_notes.count('class="bar"') == 8
    flipped = (outcomes[0].code_original != outcomes[0].code_adversarial).sum().item()
    assert f"{flipped:,} of 3,072 bits" in view.code_notes
    grey = np.asarray(view.planes_original)
    assert (grey[..., 0] == grey[..., 2]).all()
    coloured = np.asarray(view.planes_adversarial)
    scale = LEAST_PLANE // 16  # each bit is a square of so many pixels
    assert (coloured[..., 0] != coloured[..., 2]).sum() == flipped * scale**2


@pytest.mark.parametrize("pair", PAIRS)
def test_before_and_after_are_the_exact_pictures(outcomes, pair):
    text = views.before_after(outcomes[0], pair)
    found = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall('base64,([^"]+)', text)
    ]
    wanted = [np.asarray(to_picture(getattr(outcomes[0], view))) for view in PAIRS[pair]]
    assert len(found) == 2
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert 'type="range"' in text


def test_both_attackers_stand_next_to_each_other(outcomes):
    text = views.attacker_cards(outcomes, ["remark <1>", "remark <2>"])
    assert text.count('class="card"') == 2
    assert text.index("grey-box") < text.index("remark &lt;1&gt;") < text.index("adaptive")


def test_labels_cannot_inject_markup():
    evil = "<script>alert(1)</script>"
    text = views.bars(evil, Prediction(evil, 1.0, [(evil, 1.0)])) + views.notes({evil: evil})
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
