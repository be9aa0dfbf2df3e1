"""Hostile images: larger than they are, or than they declare. One function a kind."""

import random
import struct
import zlib

from PIL import Image

from tests import documents
from tests.hostile_pdfs import zeros

MIB = 1024 * 1024
FEW = 10_000
MANY = 65_535


def png_of(
    width: int,
    height: int,
    packed: bytes,
    *more: tuple[bytes, bytes],
    depth: int = 8,
    colour: int = 0,
) -> bytes:
    """Return a PNG that declares this size, whatever its data are."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *more, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png_of_any_size(dice: random.Random) -> bytes:
    side = dice.choice([9_900, 20_000, 2**31 - 1, 0])
    return png_of(side, dice.choice([side, 1]), zeros(dice.choice([1, 95])))


def png_of_long_text(dice: random.Random) -> bytes:
    kind = dice.choice([b"zTXt", b"iTXt", b"iCCP", b"eXIf"])
    packed = b"a\0\0" + zeros(dice.choice([10, 1000]))
    text = b"a\0\1\0\0\0" + zeros(500) if kind == b"iTXt" else packed
    return png_of(64, 64, zlib.compress(b"\xff" * 65 * 64), *[(kind, text)] * 5)


def png_of_many_chunks(dice: random.Random) -> bytes:
    chunks = [(dice.choice([b"tEXt", b"gAMA", b"fdAT", b"acTL"]), b"a\0b")] * 100_000
    return png_of(64, 64, zlib.compress(b"\xff" * 65 * 64), *chunks)


def jpeg_of_any_size(dice: random.Random) -> bytes:
    made = documents.image_file(documents.text_image("Some words"), "JPEG")
    place = made.index(b"\xff\xc0")
    side = dice.choice([FEW, MANY])
    return made[: place + 5] + struct.pack(">HH", side, side) + made[place + 9 :]


def jpeg_of_many_scans(dice: random.Random) -> bytes:
    """Progressive, its last scan repeated: each one goes over the whole image."""
    image = Image.new("L", (dice.choice([2_000, 9_000]),) * 2, 200)
    made = documents.image_file_with(image, "JPEG", progressive=True)
    last = made.rindex(b"\xff\xda")
    return made[:last] + made[last:-2] * dice.choice([100, 3_000]) + b"\xff\xd9"


def tiff(entries: list[tuple[int, int, int, int]], following: int, data: bytes = b"") -> bytes:
    """Return a TIFF of one directory, which is followed by another one at ``following``."""
    listed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + listed + struct.pack("<I", following) + data


def tiff_with_cycle(dice: random.Random) -> bytes:
    side = dice.choice([8, 50_000])
    start = 8 + 2 + 12 * 8 + 4
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 1), (273, 4, 1, start), (278, 4, 1, side), (279, 4, 1, 64),
    ]  # fmt: skip
    return tiff(entries, dice.choice([8, 0, 9, 2**31]), bytes(64))


def tiff_bomb(dice: random.Random) -> bytes:
    side = dice.choice([9_000, 30_000, 2**31 - 1])
    data = zeros(dice.choice([80, 900]))
    start = 8 + 2 + 12 * 8 + 4
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, dice.choice([8, 5, 7])),
        (262, 3, 1, 1), (273, 4, 1, start), (278, 4, 1, side), (279, 4, 1, len(data)),
    ]  # fmt: skip
    return tiff(entries, 0, data)


def tiff_of_many_pages(dice: random.Random) -> bytes:
    count = dice.choice([500, 100_000])
    entries = 8
    size = 2 + 12 * entries + 4
    out = bytearray(b"II*\0" + struct.pack("<I", 16) + bytes(8))
    for page in range(count):
        following = 16 + (page + 1) * size if page + 1 < count else 0
        listed = [(256, 4, 1, 8), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1)]
        listed += [(262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 8)]
        out += struct.pack("<H", entries)
        out += b"".join(struct.pack("<HHII", *entry) for entry in listed)
        out += struct.pack("<I", following)
    return bytes(out)


def webp_of_any_size(dice: random.Random) -> bytes:
    side = dice.choice([2**24 - 1, 16_383, 9_999])
    sides = (side - 1).to_bytes(3, "little") * 2
    frame = b"VP8X\x0a\0\0\0\x02\0\0\0" + sides + b"ANIM\x06\0\0\0" + bytes(6)
    made = documents.image_file_with(Image.new("RGB", (64, 64)), "WEBP", lossless=True)
    body = b"WEBP" + frame + made[12:] * dice.choice([1, 500])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_of_any_size(dice: random.Random) -> bytes:
    side = dice.choice([9_999, 50_000, 2**31 - 1, -(2**31)])
    packing = dice.choice([0, 1, 2, 3])
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, packing, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 2**31, 0, 0, 54 + 1024) + head + bytes(1024 + 4096)


def gif_of_any_size(dice: random.Random) -> bytes:
    screen = struct.pack("<HH", *[dice.choice([9_999, MANY])] * 2)
    frame = b"\x2c\0\0\0\0" + screen + b"\0\x08\xff" + b"\xff" * 255 + b"\0"
    return b"GIF89a" + screen + b"\xf7\0\0" + bytes(768) + frame * dice.choice([1, 5_000]) + b"\x3b"


def large_but_valid(dice: random.Random) -> bytes:
    """Just below the limit: 99 megapixels of nothing, in a few kB."""
    side = 9_949
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(b"\0" * (side + 1)) for _ in range(side)) + rows.flush()
    return png_of(side, side, packed)


def large_in_colour(dice: random.Random) -> bytes:
    """As large, of three or four bytes a pixel, which may end early or be filtered in no way."""
    side, colour = 9_900, dice.choice([2, 4, 6])
    row = bytes([dice.choice([0, 1, 2, 3, 4, 9])]) + bytes({2: 3, 4: 2, 6: 4}[colour] * side)
    rows = zlib.compressobj(1)
    packed = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    cut = dice.choice([len(packed), len(packed) // 2])
    more = [(dice.choice([b"tRNS", b"eXIf", b"zTXt"]), dice.randbytes(dice.choice([0, 6, 300])))]
    return png_of(side, side, packed[:cut], *more, colour=colour)


def noise(dice: random.Random) -> bytes:
    """Noise in which text recognition finds very many lines without meaning."""
    side = dice.choice([400, 2_000])
    kind = dice.choice(["letters", "bytes", "stripes"])
    if kind == "letters":
        line = "".join(dice.choice("abcdefgh.,:") for _ in range(150))
        image = documents.text_image(*[line] * 60, height=20)
    elif kind == "bytes":
        image = Image.frombytes("L", (side, side), dice.randbytes(side * side))
    else:
        row = (b"\0" * 6 + b"\xff" * 6) * (side // 12 + 1)
        image = Image.frombytes("L", (side, side), b"".join([row[:side]] * side))
    return documents.image_file(image, dice.choice(["PNG", "BMP", "TIFF"]))


def long_and_thin(dice: random.Random) -> bytes:
    sides = dice.choice([(60_000, 30), (30, 60_000), (65_000, 1), (1, 1), (1_000_000, 8)])
    image = Image.new("L", sides, 255)
    image.paste(0, (0, 0, sides[0] // 2, sides[1] // 2))
    return documents.image_file(image, "PNG")


def frames_without_end(dice: random.Random) -> bytes:
    """An animation of very many frames, in a small file."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\x02\x02\x44\x01\0"
    screen = struct.pack("<HH", 8, 8) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + frame * dice.choice([1_000, 100_000]) + b"\x3b"


def values_without_sense(dice: random.Random) -> bytes:
    """A TIFF of floating-point numbers that are none, or have no end."""
    values = [float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 0.0]
    side = dice.choice([8, 900])
    pixels = struct.pack("<64f", *(dice.choice(values) for _ in range(64)))
    return documents.image_file(
        Image.frombytes("F", (side, side), (pixels * (side * side // 64 + 1))[: 4 * side * side]),
        "TIFF",
    )


KINDS = {
    "image: frames without end": frames_without_end,
    "image: values without sense": values_without_sense,
    "image: PNG of any size": png_of_any_size,
    "image: PNG of long texts": png_of_long_text,
    "image: PNG of many chunks": png_of_many_chunks,
    "image: JPEG of any size": jpeg_of_any_size,
    "image: JPEG of many scans": jpeg_of_many_scans,
    "image: TIFF in a circle": tiff_with_cycle,
    "image: TIFF bomb": tiff_bomb,
    "image: TIFF of many pages": tiff_of_many_pages,
    "image: WebP of any size": webp_of_any_size,
    "image: BMP of any size": bmp_of_any_size,
    "image: GIF of any size": gif_of_any_size,
    "image: large and lawful": large_but_valid,
    "image: large in colour": large_in_colour,
    "image: noise": noise,
    "image: long and thin": long_and_thin,
}
"""Name and maker of each kind."""
