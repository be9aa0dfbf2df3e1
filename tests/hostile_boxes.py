"""Hostile images in formats made of boxes: AVIF, HEIC and JPEG 2000. One function a kind."""

import random
import struct

from PIL import Image

from tests import documents

SIDES = [9_999, 65_535, 2**31 - 1, 2**32 - 1, 0]
LENGTHS = [0, 1, 7, 8, 2**31 - 1, 2**32 - 1]


def _picture(kind: str) -> bytes:
    return documents.image_file(documents.text_image("Some lines", "of plain text"), kind)


def _as_heic(avif: bytes) -> bytes:
    """Return boxes that declare the other codec, whose data are none of it."""
    for one, other in (
        (b"avif", b"heic"),
        (b"avis", b"hevc"),
        (b"av01", b"hvc1"),
        (b"av1C", b"hvcC"),
    ):
        avif = avif.replace(one, other)
    return avif


def _of_kind(dice: random.Random) -> bytes:
    avif = _picture("AVIF")
    return _as_heic(avif) if dice.random() < 0.5 else avif


def _with(data: bytes, name: bytes, after: int, value: bytes) -> bytes:
    """Replace what stands so many bytes after the beginning of the first box of this name."""
    place = data.index(name) + after
    return data[:place] + value + data[place + len(value) :]


def heif_of_any_size(dice: random.Random) -> bytes:
    sides = struct.pack(">II", dice.choice(SIDES), dice.choice(SIDES))
    return _with(_of_kind(dice), b"ispe", 8, sides)


def heif_cut_off(dice: random.Random) -> bytes:
    made = _of_kind(dice)
    return made[: dice.choice([16, 40, 200, len(made) // 2, len(made) - 1])]


def heif_of_bad_boxes(dice: random.Random) -> bytes:
    name = dice.choice([b"meta", b"iprp", b"ipco", b"ispe", b"iloc", b"iinf", b"ipma", b"mdat"])
    return _with(_of_kind(dice), name, -4, struct.pack(">I", dice.choice(LENGTHS)))


def heif_of_nested_boxes(dice: random.Random) -> bytes:
    """Boxes within boxes, or very many side by side."""
    brand = dice.choice([b"avif", b"heic"])
    start = struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand
    if dice.random() < 0.5:
        return start + struct.pack(">I", 12) + b"meta" + bytes(4) + b"\0\0\0\x08free" * 500_000
    depth = 20_000
    inner = b"".join(struct.pack(">I4s", 8 * (depth - at), b"ipco") for at in range(depth))
    head = struct.pack(">I", 12 + 8 + len(inner)) + b"meta" + bytes(4)
    return start + head + struct.pack(">I", 8 + len(inner)) + b"iprp" + inner


def heif_of_scattered_bytes(dice: random.Random) -> bytes:
    made = bytearray(_of_kind(dice))
    for _ in range(dice.choice([1, 20, 300])):
        made[dice.randrange(24, len(made))] = dice.randrange(256)
    return bytes(made)


def avif_of_many_frames(dice: random.Random) -> bytes:
    """An animation whose table of samples declares more entries than it has."""
    frames = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in range(3)]
    made = documents.image_file(frames[0], "AVIF", frames[1:])
    for name, after in ((b"stts", 12), (b"stsz", 12), (b"stco", 8)):
        if name in made:
            made = _with(made, name, after, struct.pack(">I", dice.choice([2**32 - 1, 10_000_000])))
    return made


def jp2_of_any_size(dice: random.Random) -> bytes:
    """In the header box, in the codestream (whose tiles may be tiny), or in both."""
    made = _picture("JPEG2000")
    side = dice.choice(SIDES)
    if dice.random() < 0.7:
        made = _with(made, b"ihdr", 4, struct.pack(">II", side, side))
    if dice.random() < 0.7:
        tile = dice.choice([1, 64, side])
        size = struct.pack(">8I", side, side, 0, 0, tile, tile, 0, 0)
        made = _with(made, b"\xff\x4f\xff\x51", 8, size)
    return made


def jp2_of_many_components(dice: random.Random) -> bytes:
    count = struct.pack(">H", dice.choice([0, 4, 300, 16_384, 65_535]))
    made = _picture("JPEG2000")
    made = _with(made, b"ihdr", 12, count)
    return _with(made, b"\xff\x4f\xff\x51", 40, count)


def jp2_cut_off(dice: random.Random) -> bytes:
    made = _picture("JPEG2000")
    return made[: dice.choice([13, 60, 100, len(made) // 3, len(made) - 10])]


def jp2_of_bad_boxes(dice: random.Random) -> bytes:
    made = _picture("JPEG2000")
    name = dice.choice([b"jp2h", b"ihdr", b"colr", b"jp2c"])
    length = struct.pack(">I", dice.choice(LENGTHS))
    return _with(made, name, -4, length)


def jp2_of_scattered_bytes(dice: random.Random) -> bytes:
    made = bytearray(_picture("JPEG2000"))
    for _ in range(dice.choice([1, 20, 300])):
        made[dice.randrange(80, len(made))] = dice.randrange(256)
    return bytes(made)


KINDS = {
    "image: AVIF or HEIC of any size": heif_of_any_size,
    "image: AVIF or HEIC cut off": heif_cut_off,
    "image: AVIF or HEIC of bad boxes": heif_of_bad_boxes,
    "image: AVIF or HEIC of nested boxes": heif_of_nested_boxes,
    "image: AVIF or HEIC of scattered bytes": heif_of_scattered_bytes,
    "image: AVIF of many frames": avif_of_many_frames,
    "image: JPEG 2000 of any size": jp2_of_any_size,
    "image: JPEG 2000 of many components": jp2_of_many_components,
    "image: JPEG 2000 cut off": jp2_cut_off,
    "image: JPEG 2000 of bad boxes": jp2_of_bad_boxes,
    "image: JPEG 2000 of scattered bytes": jp2_of_scattered_bytes,
}
"""Name and maker of each kind."""
