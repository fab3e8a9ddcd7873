"""The pictures decoded last."""

import io

import pytest
from PIL import Image

from app import decoded, images
from app.decoded import RecentPictures
from app.decoding import DecodingError


class Decoder:
    """Decodes into a picture of the size that a file's bytes say, and counts how often."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int | None]] = []

    def __call__(self, data: bytes, least: int | None, check) -> Image.Image:
        check()
        self.asked.append((data, least))
        side = int(data)
        picture = Image.new("RGB", (side, side), "red")
        picture.info = {"frames": 1, "size": (side, side)}
        return picture


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


def test_a_file_is_decoded_once(decoder):
    recent = RecentPictures(decoder)
    first, again = recent.decode(b"10", 4), recent.decode(b"10", 4)
    assert decoder.asked == [(b"10", 4)]
    assert again.tobytes() == first.tobytes()
    assert again.info == first.info == {"frames": 1, "size": (10, 10)}


def test_another_file_or_another_size_is_decoded(decoder):
    recent = RecentPictures(decoder)
    recent.decode(b"10", 4)
    recent.decode(b"010", 4)
    recent.decode(b"10", None)
    assert decoder.asked == [(b"10", 4), (b"010", 4), (b"10", None)]


def test_what_one_does_with_a_picture_is_seen_by_nobody_else(decoder):
    recent = RecentPictures(decoder)
    for picture in (recent.decode(b"10"), recent.decode(b"10")):
        picture.putpixel((0, 0), (0, 0, 0))
        picture.info["frames"] = 99
    assert recent.decode(b"10").getpixel((0, 0)) == (255, 0, 0)
    assert recent.decode(b"10").info["frames"] == 1
    assert len(decoder.asked) == 1


def test_those_used_longest_ago_make_room(decoder):
    recent = RecentPictures(decoder, most=4 * 3 * 100)
    for name in (b"10", b"+10", b"010", b"0010"):
        recent.decode(name)
    recent.decode(b"10")  # used again
    recent.decode(b"00010")
    decoder.asked.clear()
    recent.decode(b"10")
    recent.decode(b"+10")
    assert decoder.asked == [(b"+10", None)]


def test_a_large_one_is_not_kept_and_drives_no_other_out(decoder):
    recent = RecentPictures(decoder, most=4 * 3 * 100)
    recent.decode(b"10")
    recent.decode(b"11")
    recent.decode(b"11")
    recent.decode(b"10")
    assert decoder.asked == [(b"10", None), (b"11", None), (b"11", None)]


def test_nothing_is_kept_for_longer_than_files_are(decoder):
    now = [0.0]
    recent = RecentPictures(decoder, seconds=60, clock=lambda: now[0])
    recent.decode(b"10")
    now[0] = 50
    recent.decode(b"10")
    assert len(decoder.asked) == 1
    now[0] = 61  # also where it was used in between
    recent.decode(b"20")
    assert not any(data == b"10" for (data, _) in decoder.asked[1:])
    recent.decode(b"10")
    assert [data for data, _ in decoder.asked] == [b"10", b"20", b"10"]
    assert decoded.KEPT_SECONDS == 3600


def test_without_memory_nothing_is_kept(decoder):
    recent = RecentPictures(decoder, most=0)
    recent.decode(b"10")
    recent.decode(b"10")
    assert len(decoder.asked) == 2


def test_what_is_refused_is_tried_again(decoder):
    busy = iter([DecodingError("busy"), DecodingError("time")])

    def refuse_twice(data, least, check):
        if error := next(busy, None):
            raise error
        return decoder(data, least, check)

    recent = RecentPictures(refuse_twice)
    for reason in ("busy", "time"):
        with pytest.raises(DecodingError) as caught:
            recent.decode(b"10")
        assert caught.value.reason == reason
    assert recent.decode(b"10").size == (10, 10)


def test_the_page_s_pictures_go_through_it(monkeypatch):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), "blue").save(buffer, "PNG")
    known = images.open_picture(buffer.getvalue(), least=5)

    def never(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(decoded.recent, "_decode", never)
    again = images.open_picture(buffer.getvalue(), least=5)
    assert again.tobytes() == known.tobytes()
    assert again.info == known.info
