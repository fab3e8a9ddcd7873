"""What an address says and opens."""

import string
from urllib.parse import parse_qsl

import pytest

from app.address import (
    ENTRIES,
    FIRST,
    HIDEABLE,
    MAX_LENGTH,
    Address,
    example_files,
    example_of,
    examples_of,
    planes_of,
    read,
    size_of,
)
from app.page import text
from app.scenario import Scenario, ScenarioError
from model.attacks import ATTACKS
from model.entries import kind_of
from model.zoo import CLASSIFIERS, CODECS


def opened(query: str) -> tuple[Address, tuple[str, ...]]:
    return read(dict(parse_qsl(query, keep_blank_values=True)))


def scenario(**asked) -> Scenario:
    return Scenario(**{"attack": "PGD", "epsilon": 8, "steps": 20, "seed": 3, **asked})


@pytest.mark.parametrize(
    "address",
    [
        Address(),
        Address(scenario(), "frog"),
        Address(scenario(threat_model="adaptive", target="cat", seed=-7), "frog", hidden=HIDEABLE),
        Address(scenario(classifier="imagenet", codec="comdefend-photo", planes=1), "rocket"),
        Address(scenario(planes=planes_of("comdefend-cifar10-purify")), "ship", both=True),
        Address(scenario(epsilon=4.5), hidden=("epsilon", "codec")),
        Address(scenario(target=max(CLASSIFIERS["imagenet"].config().classes, key=len)), "espresso"),
        *(Address(Scenario(attack=it.name, epsilon=4 if it.has_epsilon else None, steps=it.default_steps))
          for it in ATTACKS.values()),
        *(Address(Scenario(classifier=name), "dog") for name in CLASSIFIERS),
        *(Address(Scenario(codec=name), "dog") for name in CODECS),
        *(Address(example=name) for name in example_files()),
    ],
)  # fmt: skip
def test_an_address_comes_back_as_it_was_written(address):
    query = address.query()
    assert opened(query) == (address, ())
    assert len(query) < 500
    assert set(query) <= set(string.ascii_letters + string.digits + "-_.,=&+%")


def test_it_says_what_is_the_default_today():
    assert Address().query() == (
        "example=espresso&attack=BIM&threat_model=grey-box&epsilon=4&steps=10&seed=0"
    )


@pytest.mark.parametrize("query", ["", "__theme=dark&view=api&utm_source=x", "hide=&attack=&example=", "=1"])
def test_what_says_nothing_of_ours_opens_the_page_as_it_is(query):
    assert opened(query) == (Address(), ())


def test_what_is_missing_is_the_default_of_the_attack_that_is_named():
    assert opened("attack=APGD")[0].scenario == Scenario(attack="APGD", steps=20)
    assert opened("attack=DeepFool")[0].scenario == Scenario(attack="DeepFool", epsilon=None, steps=50)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("attack", ["magic", "pgd", "../PGD", "FGSM,PGD", "None"]),
        ("threat_model", ["telepathic", "Adaptive"]),
        ("classifier", ["mnist", "../weights/cifar10", "/etc"]),
        ("codec", ["/etc", "comdefend-cifar10/../cifar10", "https://example.com"]),
        (
            "example",
            ["SOURCES", "SOURCES.md", "../report/cifar10/examples", "frog.png", "/etc/passwd", "a\0b"],
        ),
        ("target", ["unicorn", "<script>alert(1)</script>"]),
        ("epsilon", ["0", "0.5", "65", "-4", "nan", "inf", "1e1", "٤", "4_0", " 4", "4 ", "+4", "4.", "0x4"]),
        ("steps", ["0", "201", "-1", "1.5", "10.0", "ten", "1_0", "١٠", "99999999999"]),
        ("seed", ["2147483648", "-2147483648", "0.5", "many", "--1"]),
        ("planes", ["0", "-1", "193", "12.0", "all"]),
        ("hide", ["everything", "epsilon,", "epsilon,run", "epsilon;steps", "*", ","]),
    ],
)
def test_what_is_no_choice_is_left_out_and_named(name, values):
    for value in [*values, "x" * (MAX_LENGTH + 1), "9" * 10_000, "\ud800"]:
        assert read({name: value, "seed" if name != "seed" else "planes": "5"}) == (
            Address(Scenario(planes=5) if name == "seed" else Scenario(seed=5)),
            (name,),
        ), value


def test_an_attack_is_told_only_what_it_has():
    address, left_out = opened("attack=DeepFool&epsilon=8&target=frog&steps=5&example=ship")
    assert address.scenario == Scenario(attack="DeepFool", epsilon=None, steps=5)
    assert left_out == ("epsilon", "target")
    assert opened("attack=FGSM&steps=5")[1] == ("steps",)


def test_targets_and_planes_are_those_of_the_classifier_and_codec_in_use():
    assert opened("example=ship&target=frog")[0].scenario.target == "frog"
    assert opened("example=espresso&target=frog")[1] == ("target",)
    assert opened("example=espresso&classifier=cifar10&target=frog")[1] == ()
    assert opened("example=ship&planes=13")[1] == ("planes",)
    assert opened("example=ship&planes=13&codec=comdefend-photo")[1] == ()


def test_many_entries_are_left_out_at_once_and_none_is_shown():
    evil = dict.fromkeys(("example", "hide", *ENTRIES), "<img src=x onerror=alert(1)>")
    address, left_out = read(evil)
    assert address == Address()
    assert set(left_out) == set(evil)
    assert "<" not in text.LEFT_OUT.format(", ".join(left_out))


def test_examples_are_in_the_order_of_their_kinds():
    names = list(example_files())
    kinds = [kind_of(*size_of(name)) for name in names]
    assert kinds == ["photographs"] * 4 + ["small"] * 10 + ["garments"] * 2
    assert [path.stem for path in examples_of("garments")] == names[-2:] == ["ankle-boot", "bag"]


def test_an_example_is_known_by_what_it_holds():
    for name, path in example_files().items():
        assert example_of(path.read_bytes()) == name
        assert example_of(str(path)) == name
    assert example_of(b"") is None
    assert example_of("/etc/passwd") is None
    assert example_of(example_files()[FIRST].read_bytes()[:-1]) is None


def test_no_codec_has_that_name():
    with pytest.raises(ScenarioError, match="unknown codec"):
        planes_of("/etc")
    with pytest.raises(ScenarioError, match="unknown codec"):
        planes_of(["comdefend-cifar10"])  # type: ignore[arg-type]


def test_what_can_be_hidden_has_a_name_on_the_page():
    assert tuple(text.HIDEABLE) == HIDEABLE
