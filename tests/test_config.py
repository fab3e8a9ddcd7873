import json

import pytest

from model.config import ClassifierConfig, CodecConfig, ConfigError


def test_a_config_survives_json():
    config = CodecConfig(com_widths=(4, 12), sigma=7.5)
    assert CodecConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_and_missing_entries_are_named():
    data = CodecConfig().to_dict()
    with pytest.raises(ConfigError, match="'extra'"):
        CodecConfig.from_dict({**data, "extra": 1})
    del data["sigma"]
    with pytest.raises(ConfigError, match="'sigma'"):
        CodecConfig.from_dict(data)


@pytest.mark.parametrize(
    "entry",
    [{"com_widths": ()}, {"com_widths": (4, -1)}, {"rec_widths": (8, 4)}, {"sigma": 0}, {"sigma": "a"},
     {"com_widths": 5}, {"kept": 0}, {"kept": 13}, {"kept": 2.0}, {"kept": True}],
)  # fmt: skip
def test_impossible_codecs_are_refused(entry):
    with pytest.raises(ConfigError, match=next(iter(entry))):
        CodecConfig.from_dict({**CodecConfig().to_dict(), **entry})


@pytest.mark.parametrize(
    "entry",
    [{"classes": ()}, {"image_size": 0}, {"std": (1, 1, 0)}, {"mean": (1, 1)}, {"arch": 3}, {"crop": 0}],
)
def test_impossible_classifiers_are_refused(entry):
    good = {
        "arch": "resnet9",
        "classes": ("a", "b"),
        "image_size": 32,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
        "crop": 1,
    }
    assert ClassifierConfig.from_dict(good).image_size == 32
    with pytest.raises(ConfigError, match=next(iter(entry))):
        ClassifierConfig.from_dict({**good, **entry})
