"""Hostile documents of all kinds, made from a seed: the same number gives the same thousand."""

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests import (
    documents,
    hostile_boxes,
    hostile_images,
    hostile_layouts,
    hostile_offices,
    hostile_pages,
    hostile_pdfs,
    hostile_slides,
    hostile_words,
    hostile_xml,
)

EPOCH = time.gmtime(0)


class Hostile(NamedTuple):
    """A hostile document, and the name and type it goes by."""

    kind: str
    name: str
    data: bytes


class Canary(NamedTuple):
    """What no document may reach: an address that records connections, a file with a marker."""

    url: str
    file: str


def undamaged(dice: random.Random) -> tuple[str, bytes]:
    """Return a document of some type that has nothing wrong with it."""
    image = documents.text_image("Seven green boats", "sail over the lake")
    makers: dict[str, Callable[[], bytes]] = {
        "pdf": lambda: documents.pdf("First page of words.", "Second page."),
        "scan.pdf": lambda: documents.image_file_with(
            image, "PDF", creationDate=EPOCH, modDate=EPOCH
        ),
        "docx": lambda: documents.docx(
            documents.paragraph("Heading", "Heading1"), documents.table(["a", "b"], ["c", "d"])
        ),
        "pptx": lambda: hostile_offices.pptx_with({}),
        "tiff": lambda: documents.image_file(image, "TIFF", [image]),
    }
    makers |= {
        kind: lambda kind=kind: documents.image_file(image, kind.upper())  # type: ignore[misc]
        for kind in ("png", "jpeg", "gif", "webp", "bmp")
    }
    name = dice.choice(sorted(makers))
    return f"whole.{name}", makers[name]()


def truncated(dice: random.Random) -> tuple[str, bytes]:
    name, data = undamaged(dice)
    return name, data[: dice.randrange(1, len(data))]


def with_gap(dice: random.Random) -> tuple[str, bytes]:
    name, data = undamaged(dice)
    start = dice.randrange(len(data))
    return name, data[:start] + data[start + dice.randrange(1, 5_000) :]


def flipped(dice: random.Random) -> tuple[str, bytes]:
    name, data = undamaged(dice)
    broken = bytearray(data)
    for _ in range(dice.choice([1, 5, 50, 500])):
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
    return name, bytes(broken)


def with_insertion(dice: random.Random) -> tuple[str, bytes]:
    """Numbers of the file made large: sizes, counts, offsets."""
    name, data = undamaged(dice)
    broken = bytearray(data)
    for _ in range(dice.choice([1, 10])):
        place = dice.randrange(max(len(broken) - 4, 1))
        broken[place : place + 4] = dice.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4)])
    return name, bytes(broken)


def repeated(dice: random.Random) -> tuple[str, bytes]:
    name, data = undamaged(dice)
    start = dice.randrange(len(data))
    piece = data[start : start + dice.choice([10, 1_000])]
    return name, data[:start] + piece * dice.choice([10, 2_000]) + data[start:]


def wrong_name(dice: random.Random) -> tuple[str, bytes]:
    _, data = undamaged(dice)
    return f"wrong.{dice.choice(['pdf', 'png', 'docx', 'pptx', 'jpeg', 'exe', 'html'])}", data


def two_concatenated(dice: random.Random) -> tuple[str, bytes]:
    """The beginning of one type, the end of another."""
    (name, one), (_, other) = undamaged(dice), undamaged(dice)
    return name, dice.choice([one + other, one[:1024] + other, other[:16] + one])


def empty_or_noise(dice: random.Random) -> tuple[str, bytes]:
    heads = [b"%PDF-1.7\n", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0"]
    heads += [b"GIF89a", b"BM", b"RIFF\xff\xff\xff\xffWEBP", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
    size = dice.choice([0, 10, 100_000])
    return "noise.pdf", dice.choice(heads) + dice.randbytes(size)


DAMAGES = {
    "any type: cut off": truncated,
    "any type: a piece missing": with_gap,
    "any type: bits flipped": flipped,
    "any type: numbers stretched": with_insertion,
    "any type: a piece repeated": repeated,
    "any type: wrong name": wrong_name,
    "any type: two at once": two_concatenated,
    "any type: noise": empty_or_noise,
}


def hostile(count: int, seed: int, canary: Canary) -> Iterator[Hostile]:
    """Yield so many documents, every kind about as often, the order shuffled."""
    made = makers(canary)
    kinds = [sorted(made)[place % len(made)] for place in range(count)]
    random.Random(seed).shuffle(kinds)
    for place, kind in enumerate(kinds):
        name, data = made[kind](random.Random(f"{seed} {place} {kind}"))
        yield Hostile(kind, name, data)


def makers(canary: Canary) -> dict[str, Callable[[random.Random], tuple[str, bytes]]]:
    """Return what makes a document of each kind: its name and its bytes."""
    found: dict[str, Callable[[random.Random], tuple[str, bytes]]] = dict(DAMAGES)
    pdfs = {**hostile_pdfs.KINDS, **hostile_pages.KINDS, **hostile_layouts.KINDS}
    for kind, pdf in pdfs.items():
        found[kind] = lambda dice, make=pdf: ("hostile.pdf", make(dice))  # type: ignore[misc]
    found["pdf: reaching out"] = lambda dice: (
        "hostile.pdf",
        hostile_pdfs.external_references(dice, *canary),
    )
    for kind, image in {**hostile_images.KINDS, **hostile_boxes.KINDS}.items():
        found[kind] = lambda dice, make=image: ("hostile.png", make(dice))  # type: ignore[misc]
    offices = hostile_offices.KINDS | hostile_xml.KINDS
    offices |= hostile_slides.KINDS | hostile_words.KINDS
    for kind, office in offices.items():
        found[kind] = lambda dice, make=office: (  # type: ignore[misc]
            "hostile.docx",
            make(dice, *canary),
        )
    return found
