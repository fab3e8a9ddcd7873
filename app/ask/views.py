"""What was found, as markup of our own: tables, a strip, the tiles of planes."""

import hashlib
import html
import math

import numpy as np
from PIL import Image
from torch import Tensor

from app.ask import words
from app.ask.defences import Row, Survey
from app.ask.planes import Carried, Without
from app.events import Progress
from app.figures import LOWERED, MANY, RAISED
from app.images import data_url, to_picture
from app.page import ask_text, text
from app.scenario import Outcome
from app.views import bars
from model.ops import turned_bits

BARS = 3
"""So many classes are shown beneath a picture."""
GROUPS = 4
"""Many planes stand in so many groups."""
PALETTE = [0, 0, 0, 255, 255, 255, *(round(255 * level) for level in (*RAISED, *LOWERED))]
"""Of a picture of planes: bits that are 0, that are 1, that were raised, that were lowered."""


def progress(event: Progress) -> str:
    """How far it is."""
    return (
        f'<p class="ask-status"><progress max="1" value="{event.share:.3f}" aria-label="{event.share:.0%}">'
        f"</progress> {event.share:.0%}: {html.escape(event.what)}</p>"
    )


def said(sentence: str) -> str:
    """A sentence that a screen reader reads out."""
    return f'<p class="ask-status" role="status">{html.escape(sentence)}</p>'


def table(found: Survey) -> str:
    """A line for each defence, to be pressed."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ask_text.COLUMNS)
    rows = "".join(_line(found, number, row) for number, row in enumerate(found.rows))
    return (
        f'<div class="scroll" tabindex="0"><table class="ask-table">'
        f"<caption>{html.escape(words.survey(found))}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _line(found: Survey, number: int, row: Row) -> str:
    kind = "held" if found.held(row) else "fell"
    if not found.harmless(row):
        kind = "harmful"
    cells = "".join(
        f"<td>{html.escape(cell)}</td>"
        for cell in (
            row.attacked.label,
            f"{row.attacked.confidence:.0%}",
            words.verdict(found, row),
            words.bits(row),
            words.milliseconds(row),
        )
    )
    return (
        f'<tr class="{kind}"><th scope="row"><button type="button" data-row="{number}">'
        f"{html.escape(row.name.text)}</button><small>{html.escape(row.about)}</small></th>{cells}</tr>"
    )


def strip(found: Survey, row: Row, rerun: bool) -> str:
    """From the original to what a defence makes of the adversarial picture, with what is said of each.

    Args:
        rerun: whether a new run with this defence begins; the page's script looks for the mark.
    """
    outcome = found.outcome
    through = ask_text.STRIP["rebuilt"].format(row.name.text)
    figures = (
        _figure(ask_text.STRIP["original"], to_picture(outcome.original), outcome,
                bars(text.BARE, outcome.predictions["original"], BARS) + bars(through, row.clean, BARS)),
        _figure(ask_text.STRIP["adversarial"], to_picture(outcome.adversarial), outcome,
                bars(text.BARE, outcome.predictions["adversarial"], BARS)),
        _figure(through, row.picture, outcome, bars(through, row.attacked, BARS)),
    )  # fmt: skip
    mark = " data-rerun" if rerun else ""
    return f'<div class="ask-strip"{mark}>{"".join(figures)}</div>'


def _figure(title: str, picture: Image.Image, outcome: Outcome, beneath: str) -> str:
    name = html.escape(title)
    small = ' class="small"' if outcome.is_small else ""
    return (
        f'<figure{small}><figcaption>{name}</figcaption><img src="{data_url(picture)}" alt="{name}">'
        f"{beneath}</figure>"
    )


def without(outcome: Outcome, found: Without) -> str:
    """Both pictures rebuilt without some planes, and what is said of them."""
    before = (
        outcome.predictions["defended_original"].label,
        outcome.predictions["defended_adversarial"].label,
    )
    pictures = (
        (ask_text.WITHOUT["original"], found.original, found.says_original),
        (ask_text.WITHOUT["adversarial"], found.adversarial, found.says_adversarial),
    )
    figures = "".join(
        _figure(title, to_picture(x), outcome, bars(text.DEFENDED, says, BARS)) for title, x, says in pictures
    )
    return f'{said(words.without(found, before))}<div class="ask-strip">{figures}</div>'


def tiles(outcome: Outcome, measured: Carried | None = None) -> str:
    """The planes of the adversarial picture's code: buttons, switched on, and one of them large.

    All are parts of one picture, so that two hundred come as quickly as twelve. Many stand in quarters in the
    order of the dial. Where it was measured what they carry, those that carry most come first in each.
    """
    sheet, columns, rows = planes_sheet(outcome.code_adversarial, outcome.code_original)
    count = outcome.code_adversarial.shape[1]
    size = count if count <= MANY else math.ceil(count / GROUPS)
    names = [ask_text.ALL_PLANES] if count <= MANY else list(ask_text.GROUPS)
    flipped = turned_bits(outcome.code_original, outcome.code_adversarial)[0].sum((1, 2)).tolist()
    flipped += [0] * (count - len(flipped))  # planes that were not kept of the original
    bits = outcome.code_adversarial[0, 0].numel()
    most = max(measured.changes) if measured else 0.0
    groups = ""
    for place, name in enumerate(names):
        numbers = list(range(place * size, min(count, (place + 1) * size)))
        if measured:
            numbers.sort(key=lambda number: -measured.changes[number])
        buttons = "".join(
            _tile(number, columns, rows, flipped[number], bits, measured, most) for number in numbers
        )
        groups += (
            f"<details{'' if place else ' open'}><summary>{html.escape(name)}</summary>"
            f'<button type="button" class="all" data-switch>{html.escape(ask_text.GROUP_SWITCH)}</button>'
            f'<div role="group" aria-label="{html.escape(name)}">{buttons}</div></details>'
        )
    url = data_url(sheet)
    run = hashlib.sha256(url.encode()).hexdigest()[:16]
    return (
        f'<div class="ask-planes" data-run="{run}" '
        f'style="--sheet:url({url});--columns:{columns};--rows:{rows}">'
        f'<figure class="large" aria-label="{html.escape(ask_text.LARGE)}"><div></div><figcaption>'
        f'</figcaption><button type="button" class="all" data-on>{html.escape(ask_text.ALL_ON)}</button>'
        f'</figure><div class="groups">{groups}</div></div>'
    )


def _tile(
    number: int, columns: int, rows: int, flipped: int, bits: int, measured: Carried | None, most: float
) -> str:
    across = 100 * (number % columns) / max(1, columns - 1)
    down = 100 * (number // columns) / max(1, rows - 1)
    label = words.plane(number, flipped, bits, measured)
    carries = f"{measured.changes[number] / most:.3f}" if measured and most else "0"
    return (
        f'<button type="button" class="plane" data-plane="{number}" aria-pressed="true" tabindex="-1" '
        f'aria-label="{html.escape(label)}" style="--at:{across:.4f}% {down:.4f}%;--carries:{carries}">'
        f"<span>{number + 1}</span></button>"
    )


def planes_sheet(code: Tensor, before: Tensor) -> tuple[Image.Image, int, int]:
    """All planes of a code as one picture, row by row, and how many columns and rows it has.

    Args:
        code: shape (1,K,h,w), 0 and 1.
        before: the same of another picture; bits that differ from it are in colour.
    """
    levels, (flipped,) = code[0].numpy().astype(np.uint8), turned_bits(before, code).numpy()
    levels[: len(flipped)][flipped] = 3 - levels[: len(flipped)][flipped]  # 0, 1, 2 raised, 3 lowered
    count, height, width = levels.shape
    columns = math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    sheet = np.zeros((rows * height, columns * width), np.uint8)
    for number, plane in enumerate(levels):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = plane
    picture = Image.fromarray(sheet, "P")
    picture.putpalette(PALETTE)
    return picture, columns, rows
