"""Large PNGs, decoded strip by strip: a whole one takes four bytes for each of its pixels."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

CHANNELS = {2: 3, 4: 2, 6: 4}
"""Bytes of a pixel by the colour type, of those of which Pillow makes four bytes."""

STRIP_BYTES = 8_000_000
PIECE_BYTES = 1 << 20
MAX_CHUNKS = 1_000_000
TEXTS = (b"tEXt", b"zTXt", b"iTXt")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">IIBBBBB")


class _Unusual(ValueError):
    """The file is of a kind that is decoded as a whole."""


def load_reduced(path: str, factor: int) -> Image.Image | None:
    """Return a PNG made smaller by a whole factor, as RGB or RGBA.

    Return nothing if it is interlaced, has one channel, more than eight bits in each, or several
    frames. The copy has the orientation of the file.

    :raises OSError: it is damaged.
    """
    try:
        with open(path, "rb") as file:
            return _load(file, factor)
    except _Unusual:
        return None
    except (zlib.error, SyntaxError) as error:
        raise OSError("the rows cannot be decoded") from error


def _load(file: BinaryIO, factor: int) -> Image.Image:
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise _Unusual
    chunks = _chunks(file)
    _, body = next(chunks)
    if len(body) != _HEAD.size:
        raise _Unusual
    width, height, depth, colour, _, _, interlaced = _HEAD.unpack(body)
    if depth != 8 or colour not in CHANNELS or interlaced or min(width, height) < factor:
        raise _Unusual
    pixels = _Pixels(chunks)
    stride = width * CHANNELS[colour]
    rows = max(STRIP_BYTES // stride // factor, 1) * factor
    mode = "RGB" if colour == 2 and pixels.transparent is None else "RGBA"
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    above = b""
    for top in range(0, height, rows):
        count = min(rows, height - top)
        strip = _decoded(
            above + pixels.read(count * (stride + 1)),
            (width, count + bool(above), depth, colour, 0, 0, 0),
            pixels.transparent,
        )
        above = b"\0" + strip.crop((0, strip.height - 1, width, strip.height)).tobytes()
        strip = strip.crop((0, strip.height - count, width, strip.height)).convert(mode)
        result.paste(strip.reduce(factor), (0, top // factor))
    pixels.read_rest()
    if pixels.exif is not None:
        result.info["exif"] = b"Exif\0\0" + pixels.exif
    return result


def _decoded(rows: bytes, head: tuple[int, ...], transparent: bytes | None) -> Image.Image:
    """Return filtered rows as an image; the first one is filtered by itself."""
    written = io.BytesIO(_SIGNATURE)
    written.seek(0, io.SEEK_END)
    more = [(b"tRNS", transparent)] if transparent is not None else []
    parts = [(b"IHDR", _HEAD.pack(*head)), *more, (b"IDAT", zlib.compress(rows, 0))]
    for kind, data in (*parts, (b"IEND", b"")):
        written.write(struct.pack(">I", len(data)) + kind + data)
        written.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
    image = Image.open(written, formats=["PNG"])
    image.load()
    return image


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and data of chunks; those of pixels in pieces, others if they matter."""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"acTL":
            raise _Unusual
        end = file.tell() + size
        if kind == b"IDAT":
            while size and (data := file.read(min(size, PIECE_BYTES))):
                size -= len(data)
                yield kind, data
        elif kind in TEXTS:
            _check_text(file.read(min(size, PIECE_BYTES)))
        elif kind in (b"IHDR", b"tRNS", b"eXIf"):
            yield kind, file.read(min(size, PIECE_BYTES))
        file.seek(end + 4)


def _check_text(text: bytes) -> None:
    """Refuse a text that may name an orientation: Pillow looks for it in several places."""
    name, _, value = text.partition(b"\0")
    if name.startswith(b"Raw profile") or (
        name == b"XML:com.adobe.xmp" and (value[:1] != b"\0" or b"rientation" in value)
    ):
        raise _Unusual


class _Pixels:
    """The filtered rows of a PNG; ``transparent`` is its colour that is, ``exif`` its metadata."""

    def __init__(self, chunks: Iterator[tuple[bytes, bytes]]) -> None:
        self._packed = zlib.decompressobj()
        self._chunks = chunks
        self._waiting = b""
        self.transparent: bytes | None = None
        self.exif: bytes | None = None
        for kind, data in chunks:
            if kind == b"IDAT":
                self._waiting = data
                break
            self._note(kind, data)

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        rows = bytearray()
        while len(rows) < size:
            given = self._waiting or self._next()
            piece = self._packed.decompress(given, size - len(rows))
            self._waiting = self._packed.unconsumed_tail
            if not piece and not given:
                raise OSError("the rows end early")
            rows += piece
        return bytes(rows)

    def read_rest(self) -> None:
        """Look at the chunks after the rows."""
        while self._next():
            pass

    def _next(self) -> bytes:
        for kind, data in self._chunks:
            if kind == b"IDAT":
                return data
            self._note(kind, data)
        return b""

    def _note(self, kind: bytes, data: bytes) -> None:
        if kind == b"tRNS":
            self.transparent = data
        elif kind == b"eXIf":
            self.exif = data
