"""HEIC images, decoded by the libheif of the system where there is one.

It is not a part of the service: the decoders of this format are under licences of their own. Its
functions and numbers are those of libheif/heif.h, stable since version 1.0.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image

from actors.engines import Unconvertible

OFF, AUTO = "off", "auto"
LIBRARIES = ("libheif.so.1", "/opt/homebrew/lib/libheif.1.dylib", "/usr/local/lib/libheif.1.dylib")
RGB, INTERLEAVED_RGB, INTERLEAVED = 1, 10, 10

NO_DECODER = (
    "This is a HEIC image, and there is no decoder for it here: save it as JPEG or PNG, or ask the "
    "operator to install libheif (setting ILIOS_HEIF)."
)


class _Error(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_int),
        ("subcode", ctypes.c_int),
        ("message", ctypes.c_char_p),
    )


@cache
def load(decoder: str) -> ctypes.CDLL | None:
    """Load the library, at most once; None where there is none.

    :param decoder: ``auto``, ``off`` or a path. What is at a path is out of reach in the sandbox,
        unless it was loaded before.
    """
    names = {OFF: (), AUTO: LIBRARIES}.get(decoder, (decoder,))
    for name in names:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        pointer, number = ctypes.c_void_p, ctypes.c_int
        out, size = ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t
        for function, result, arguments in (
            ("heif_context_alloc", pointer, ()),
            ("heif_context_free", None, (pointer,)),
            ("heif_context_read_from_memory", _Error, (pointer, ctypes.c_char_p, size, pointer)),
            ("heif_context_get_primary_image_handle", _Error, (pointer, out)),
            ("heif_image_handle_release", None, (pointer,)),
            ("heif_image_handle_get_width", number, (pointer,)),
            ("heif_image_handle_get_height", number, (pointer,)),
            ("heif_decode_image", _Error, (pointer, out, number, number, pointer)),
            ("heif_image_release", None, (pointer,)),
            ("heif_image_get_width", number, (pointer, number)),
            ("heif_image_get_height", number, (pointer, number)),
            (
                "heif_image_get_plane_readonly",
                pointer,
                (pointer, number, ctypes.POINTER(number)),
            ),
        ):
            declared = getattr(library, function, None)
            if declared is None:
                return None  # another library
            declared.restype, declared.argtypes = result, arguments
        return library
    return None


def decoder_warnings(decoder: str) -> list[str]:
    """Return warnings for the operator about a decoder that was named."""
    if decoder in (OFF, AUTO) or load(decoder):
        return []
    return [f"ILIOS_HEIF: {decoder} cannot be loaded as libheif; HEIC images are refused"]


def decode(path: Path, max_pixels: int, decoder: str = AUTO) -> Image.Image | None:
    """Return the main image of a file upright, None if it has more than ``max_pixels``.

    :raises Unconvertible: there is no decoder, or the image is damaged.
    """
    library = load(decoder)
    if library is None:
        raise Unconvertible("unsupported_type", NO_DECODER)
    with _handle(library, path.read_bytes()) as handle:
        width = library.heif_image_handle_get_width(handle)
        height = library.heif_image_handle_get_height(handle)
        if width * height > max_pixels:
            return None
        return _pixels(library, handle)


@contextmanager
def _handle(library: ctypes.CDLL, data: bytes) -> Iterator[ctypes.c_void_p]:
    context = ctypes.c_void_p(library.heif_context_alloc())
    handle = ctypes.c_void_p()
    try:
        _check(library.heif_context_read_from_memory(context, data, len(data), None))
        _check(library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)))
        yield handle
    finally:
        if handle:
            library.heif_image_handle_release(handle)
        library.heif_context_free(context)


def _pixels(library: ctypes.CDLL, handle: ctypes.c_void_p) -> Image.Image:
    image = ctypes.c_void_p()
    stride = ctypes.c_int()
    try:
        _check(library.heif_decode_image(handle, ctypes.byref(image), RGB, INTERLEAVED_RGB, None))
        width = library.heif_image_get_width(image, INTERLEAVED)
        height = library.heif_image_get_height(image, INTERLEAVED)
        plane = library.heif_image_get_plane_readonly(image, INTERLEAVED, ctypes.byref(stride))
        if not plane or width <= 0 or height <= 0 or stride.value < 3 * width:
            raise _damaged()
        data = (ctypes.c_char * (stride.value * height)).from_address(plane)
        return Image.frombytes("RGB", (width, height), data, "raw", "RGB", stride.value, 1)
    finally:
        if image:
            library.heif_image_release(image)


def _check(error: _Error) -> None:
    if error.code:
        raise _damaged()


def _damaged() -> Unconvertible:
    return Unconvertible("corrupt", "The image is damaged: it cannot be decoded.")
