"""Large PNGs are decoded strip by strip, to the pixels that decoding them at once would give."""

import io
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from ilios.engines.converters import frames, png_strips
from tests.hostile_images import png_of

SIDE = 9_949
MOST_MIB = 350
ORIENTATION = 0x0112

MEASURED = """
import sys
from pathlib import Path
from ilios.engines.converters import images
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Reading

reading = Reading(recognition="never")
images.convert(Path(sys.argv[1]), EngineLimits(), lambda *_: None, reading)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)
"""


def noisy(mode: str) -> Image.Image:
    dice = random.Random(mode)
    return Image.frombytes(mode, (151, 97), dice.randbytes(151 * 97 * len(mode)))


def written(image: Image.Image, folder: Path, **options: object) -> Path:
    path = folder / "image"
    image.save(path, "PNG", **options)
    return path


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_strips_have_the_pixels_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, factor: int
) -> None:
    monkeypatch.setattr(png_strips, "STRIP_BYTES", 5_000)
    monkeypatch.setattr(png_strips, "PIECE_BYTES", 700)
    image = noisy(mode)
    reduced = png_strips.load_reduced(str(written(image, tmp_path)), factor)
    assert reduced is not None
    whole = image.convert("RGB" if mode == "RGB" else "RGBA").reduce(factor)
    assert (reduced.mode, reduced.size) == (whole.mode, whole.size)
    assert reduced.tobytes() == whole.tobytes()


def test_a_transparent_colour_stays_transparent(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 60), (10, 20, 30))
    reduced = png_strips.load_reduced(str(written(image, tmp_path, transparency=(10, 20, 30))), 2)
    assert reduced is not None
    assert reduced.getpixel((0, 0)) == (0, 0, 0, 0)


def test_a_large_image_is_turned_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LARGEST_DECODED", 1_000_000)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = Image.new("RGB", (9_000, 3_000), "white")
    path = written(image, tmp_path, exif=exif, compress_level=1)
    with Image.open(path) as opened:
        small, finer = frames.prepare_copies(opened, 3_000_000)
    assert finer is not None
    assert small.height > small.width
    assert finer.load().height > finer.load().width


def test_other_kinds_are_decoded_at_once(tmp_path: Path) -> None:
    grey, coloured = noisy("L"), noisy("RGB")
    assert png_strips.load_reduced(str(written(grey, tmp_path)), 2) is None
    animation = written(coloured, tmp_path, save_all=True, append_images=[grey.convert("RGB")])
    assert png_strips.load_reduced(str(animation), 2) is None


def test_damaged_rows_are_an_error(tmp_path: Path) -> None:
    whole = written(noisy("RGB"), tmp_path).read_bytes()
    middle = len(whole) // 2
    for data in (whole[:-2_000], whole[:middle] + bytes(99) + whole[middle + 99 :]):
        (tmp_path / "image").write_bytes(data)
        with pytest.raises(OSError, match="the rows"):
            png_strips.load_reduced(str(tmp_path / "image"), 2)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is not to be had")
def test_an_image_at_the_size_limit_takes_little_memory(tmp_path: Path) -> None:
    rows = zlib.compressobj(1)
    row = b"\0" + bytes(3 * SIDE)
    packed = io.BytesIO()
    for _ in range(SIDE):
        packed.write(rows.compress(row))
    packed.write(rows.flush())
    path = tmp_path / "image"
    path.write_bytes(png_of(SIDE, SIDE, packed.getvalue(), colour=2))
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=100,
    )
    assert int(ended.stdout) < MOST_MIB
