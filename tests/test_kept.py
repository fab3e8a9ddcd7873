"""What is remembered of visitors' files."""

import pytest

from app.images import ImageError
from app.kept import GONE, KeptFile, KeptFiles
from app.recent import Recent


def test_a_content_is_kept_once_and_found_by_what_it_is():
    kept = KeptFiles(most=10)
    assert kept.keep(b"a dog") == kept.keep(b"a dog") != kept.keep(b"a cat")
    assert kept.read(kept.keep(b"a dog")) == b"a dog"
    assert len(kept._contents) == 2
    with pytest.raises(ImageError, match=GONE):
        kept.read(KeptFile(b"?"))


def test_what_was_given_longest_ago_makes_room():
    kept = KeptFiles(most=10)
    first, second = kept.keep(b"11111"), kept.keep(b"22222")
    kept.keep(b"11111")  # once more
    kept.keep(b"33333")
    assert kept.read(first) == b"11111"
    with pytest.raises(ImageError):
        kept.read(second)
    large = kept.keep(b"x" * 1000)
    assert kept.read(large) == b"x" * 1000  # the one that is wanted now, however large
    with pytest.raises(ImageError):
        kept.read(first)


def test_making_room_measures_each_content_once():
    measured = []

    def size(value: bytes) -> int:
        measured.append(value)
        return len(value)

    recent = Recent(size, 100, 60)
    for number in range(50):
        recent.put(number, bytes(2))
    recent.put(7, bytes(4))  # in the place of another
    recent.put("large", bytes(90))
    assert len(measured) == 52
    assert len(recent) == 5
    assert [recent.get(key) for key in (7, "large")] == [bytes(4), bytes(90)]


def test_nothing_is_kept_for_longer_than_files_are():
    now = [0.0]
    kept = KeptFiles(most=100, seconds=60, clock=lambda: now[0])
    first = kept.keep(b"first")
    now[0] = 40
    second = kept.keep(b"second")
    now[0] = 70
    assert kept.read(second) == b"second"
    with pytest.raises(ImageError):
        kept.read(first)
    assert len(kept._contents) == 1
