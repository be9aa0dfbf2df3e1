"""Recognition of single lines by the Tesseract of the system, where it is installed.

Its library is loaded into this process, which stays as confined as it is: to run its program, the
sandbox would have to allow other programs. The functions are those of tesseract/capi.h.
"""

import ctypes
import os
from collections import OrderedDict
from functools import cache
from pathlib import Path

from PIL import Image

LIBRARIES = (
    "libtesseract.so.5",
    "libtesseract.so.4",
    "/opt/homebrew/lib/libtesseract.5.dylib",
    "/usr/local/lib/libtesseract.5.dylib",
)
DATA_PLACES = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/share/tesseract/tessdata",
    "/opt/homebrew/share/tessdata",
    "/usr/local/share/tessdata",
)
"""Places of the languages' data; the sandbox lets a process read what is below /usr/share."""

NEURAL_NET, SINGLE_LINE = 1, 7  # of TessOcrEngineMode and TessPageSegMode
ASSUMED_DPI = 200
MAX_LOADED = 4
"""Languages loaded at a time; each takes some 20 MB."""

_DECLARATIONS = (
    ("TessVersion", ctypes.c_char_p, ()),
    ("TessBaseAPICreate", ctypes.c_void_p, ()),
    ("TessBaseAPIDelete", None, (ctypes.c_void_p,)),
    (
        "TessBaseAPIInit2",
        ctypes.c_int,
        (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int),
    ),
    ("TessBaseAPISetPageSegMode", None, (ctypes.c_void_p, ctypes.c_int)),
    ("TessBaseAPISetImage", None, (ctypes.c_void_p, ctypes.c_char_p, *(ctypes.c_int,) * 4)),
    ("TessBaseAPISetSourceResolution", None, (ctypes.c_void_p, ctypes.c_int)),
    ("TessBaseAPIGetUTF8Text", ctypes.c_void_p, (ctypes.c_void_p,)),
    ("TessBaseAPIMeanTextConf", ctypes.c_int, (ctypes.c_void_p,)),
    ("TessBaseAPIClear", None, (ctypes.c_void_p,)),
    ("TessDeleteText", None, (ctypes.c_void_p,)),
)

_loaded: OrderedDict[str, ctypes.c_void_p] = OrderedDict()


@cache
def installed_languages() -> frozenset[str]:
    """Return the names of the languages that can be read; none without the library."""
    folder = _data_folder()
    if folder is None or _library() is None:
        return frozenset()
    return frozenset(file.stem for file in folder.glob("*.traineddata"))


def version() -> str:
    """Return the name and version of the library, for the ``model`` of a conversion."""
    library = _library()
    found = library.TessVersion().decode() if library else "0"
    return f"tesseract-{'.'.join(found.split('.')[:2])}"


def read_line(image: Image.Image, language: str) -> tuple[str, float]:
    """Return the text on the image of one line, and the confidence in it, 0 to 1.

    :param language: one of :func:`installed_languages`.
    """
    library, handle = _library(), _handle(language)
    if library is None or handle is None:
        return "", 0.0
    grey = image.convert("L")
    width, height = grey.size
    library.TessBaseAPISetImage(handle, grey.tobytes(), width, height, 1, width)
    library.TessBaseAPISetSourceResolution(handle, ASSUMED_DPI)
    pointer = library.TessBaseAPIGetUTF8Text(handle)
    if not pointer:
        return "", 0.0
    text = (ctypes.string_at(pointer) or b"").decode("utf-8", "replace")
    library.TessDeleteText(pointer)
    confidence = library.TessBaseAPIMeanTextConf(handle) / 100
    library.TessBaseAPIClear(handle)
    return " ".join(text.split()), min(max(confidence, 0.0), 1.0)


@cache
def _library() -> ctypes.CDLL | None:
    os.environ["OMP_THREAD_LIMIT"] = "1"  # there is a process per core
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for function, result, arguments in _DECLARATIONS:
            declared = getattr(library, function)
            declared.restype, declared.argtypes = result, arguments
        return library
    return None


@cache
def _data_folder() -> Path | None:
    return next((Path(place) for place in DATA_PLACES if os.path.isdir(place)), None)


def _handle(language: str) -> ctypes.c_void_p | None:
    library, folder = _library(), _data_folder()
    if library is None or folder is None:
        return None
    if language in _loaded:
        _loaded.move_to_end(language)
        return _loaded[language]
    handle = ctypes.c_void_p(library.TessBaseAPICreate())
    failed = library.TessBaseAPIInit2(handle, bytes(folder), language.encode(), NEURAL_NET)
    if failed:
        library.TessBaseAPIDelete(handle)
        return None
    library.TessBaseAPISetPageSegMode(handle, SINGLE_LINE)
    _loaded[language] = handle
    if len(_loaded) > MAX_LOADED:
        _, oldest = _loaded.popitem(last=False)
        library.TessBaseAPIDelete(oldest)
    return handle
