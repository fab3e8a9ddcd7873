"""What is remembered of visitors' files."""

import pytest

from app.images import ImageError
from app.kept import GONE, KeptFile, KeptFiles


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
