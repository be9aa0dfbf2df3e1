"""Pages are read however they are turned, by whichever recogniser is installed."""

import subprocess
import sys

import pytest
from PIL import Image
from PIL.Image import Transpose

from ilios.engines.recognition import direction, ocr, skew
from ilios.engines.recognition.recogniser import Line, Recognised, upright
from tests import documents

WORDS = ["Seven", "green", "boats", "sail", "over", "the", "lake"]
TURNS = {None: 0, Transpose.ROTATE_90: 3, Transpose.ROTATE_180: 2, Transpose.ROTATE_270: 1}


@pytest.mark.parametrize("turn", TURNS)
def test_a_page_is_read_however_it_is_turned(turn: Transpose | None) -> None:
    image = documents.text_image(*[" ".join(WORDS)] * 6)
    seen = 0

    def heartbeat() -> None:
        nonlocal seen
        seen += 1

    turned = image if turn is None else image.transpose(turn)
    text = ocr.ImageReader().read(turned, heartbeat)
    assert text.markdown.split() == WORDS * 6
    found = text.recognised
    assert found.quarter_turns == TURNS[turn]
    assert (found.width, found.height) == image.size
    assert seen >= 1


def test_lines_are_items_in_points_of_the_upright_page() -> None:
    found = upright((Line(10, 0, 30, 100, "abc", 0.9),), (40, 200), 1)
    items = found.to_items(3, 0.5)
    assert (items.index, items.width, items.height) == (3, 100, 20)
    (item,) = items.items
    assert (item.left, item.top, item.right, item.bottom) == (0, 5, 50, 15)
    assert (item.text, item.size) == ("abc", 10)


def test_the_confidence_of_a_page_is_that_of_its_characters() -> None:
    lines = (Line(0, 0, 9, 9, "x" * 9, 0.9), Line(0, 9, 9, 18, "y", 0.4))
    found = Recognised(lines, 20, 20)
    assert found.mean_confidence == pytest.approx(0.85)
    assert found.lowest_confidence == 0.4
    assert Recognised((), 20, 20).mean_confidence == 1.0


def test_an_unsure_page_has_a_warning() -> None:
    low = Recognised((Line(0, 0, 90, 9, "illegible", 0.5),), 100, 20)
    assert [one.code for one in ocr._image_text(low, []).warnings] == ["page_low_confidence"]


def test_variables_of_the_library_change_nothing() -> None:
    pytest.importorskip("faster_paddle")
    program = (
        "import os; os.environ.update(OCR_THREADS='4', RAYON_NUM_THREADS='4', REC_POOL='4')\n"
        "from ilios.engines.recognition import paddle\n"
        "config = paddle.PaddleRecogniser()._engine.config\n"
        "names = ('threads', 'det_threads', 'rec_workers', 'rayon_threads')\n"
        "print([config[name] for name in names])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[1, 1, 1, 1]"


def test_small_print_is_read_with_more_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    paddle = pytest.importorskip("ilios.engines.recognition.paddle")
    loaded: list[str] = []
    load = paddle._load

    def note(size: str, *sides: int) -> object:
        loaded.append(size)
        return load(size, *sides)

    monkeypatch.setattr(paddle, "_load", note)
    recogniser = paddle.PaddleRecogniser()
    large = documents.text_image(*[" ".join(WORDS)] * 3)
    recogniser.recognise(large, lambda: None)
    assert loaded == ["tiny"]
    small = large.resize((large.width // 6, large.height // 6), Image.Resampling.LANCZOS)
    recogniser.recognise(small, lambda: None)
    assert loaded == ["tiny", "small"]


def test_text_that_was_scaled_up_is_read_with_more_effort() -> None:
    paddle = pytest.importorskip("ilios.engines.recognition.paddle")
    lines = [Line(0, 30 * row, 200, 30 * row + 20, "text") for row in range(5)]
    assert not paddle._is_coarse(lines, 1.0)
    assert paddle._is_coarse(lines, 1.8)


@pytest.mark.parametrize("lines", [0, 40])
def test_strips_for_the_larger_model_are_bounded_and_cut_few_lines(lines: int) -> None:
    paddle = pytest.importorskip("ilios.engines.recognition.paddle")
    found = [Line(0, 50 * row + 10, 900, 50 * row + 40, "text") for row in range(lines)]
    strips = paddle._strips(found, (1000, 2000))
    assert [top for top, _ in strips[1:]] == [bottom for _, bottom in strips[:-1]]
    assert (strips[0][0], strips[-1][1]) == (0, 2000)
    assert all(1000 * (bottom - top) <= paddle.STRIP_PIXELS for top, bottom in strips)
    cuts = [top for top, _ in strips[1:]]
    assert not any(line.top < cut < line.bottom for cut in cuts for line in found)


def test_strips_for_the_larger_model_have_a_bounded_number_of_lines() -> None:
    paddle = pytest.importorskip("ilios.engines.recognition.paddle")
    found = [
        Line(300 * column, 24 * row, 300 * column + 250, 24 * row + 12, "text")
        for row in range(20)
        for column in range(6)
    ]
    strips = paddle._strips(found, (1800, 480))
    counts = [sum(top <= line.center_y < bottom for line in found) for top, bottom in strips]
    assert sum(counts) == len(found)
    assert max(counts) <= paddle.STRIP_LINES


@pytest.mark.parametrize(
    "size", [(1131, 1600), (2000, 2000), (1000, 100), (200, 2000), (6000, 300), (9000, 2000)]
)
def test_lines_are_searched_in_a_bounded_number_of_pixels(size: tuple[int, int]) -> None:
    paddle = pytest.importorskip("ilios.engines.recognition.paddle")
    for model in ("tiny", "small"):
        longest, shortest = paddle._search_sides(model, size)
        scale = max(min(longest / max(size), 1.0), shortest / min(size))
        assert size[0] * size[1] * scale * scale <= 1.01 * paddle.DETECTED_PIXELS
        assert size[0] * size[1] > paddle.DETECTED_PIXELS or scale >= 1 or size == (1131, 1600)


@pytest.mark.parametrize("turn", TURNS)
def test_lines_show_which_way_up_they_are_before_they_are_read(turn: Transpose | None) -> None:
    sentence = "The lively old dog had to hide below the tall dark shed. "
    lines = [sentence[row:] + sentence[:row] for row in range(0, 48, 4)]
    image = documents.text_image(*lines)
    turned = image if turn is None else image.transpose(turn)
    # Lines that run upwards are read as they are.
    assert direction.looks_upside_down(turned) is (TURNS[turn] in (2, 3))


def test_a_page_without_lines_shows_no_way_up() -> None:
    assert not direction.looks_upside_down(Image.new("RGB", (300, 400), "white"))


def test_without_a_recogniser_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("faster_paddle", "rapidocr", "cv2"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("paddle", "rapid"):
        monkeypatch.delitem(sys.modules, f"ilios.engines.recognition.{name}", raising=False)
        monkeypatch.delattr(f"ilios.engines.recognition.{name}", raising=False)
    with pytest.raises(ocr.NoRecogniser, match="install faster-paddle"):
        ocr.load_recogniser.__wrapped__()


@pytest.mark.parametrize("angle", [-3, -1.5, 2, 4])
def test_an_inclined_page_is_straightened(angle: float) -> None:
    image = documents.text_image(*[" ".join(WORDS)] * 6)
    inclined = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    assert skew.skew(inclined) == pytest.approx(-angle, abs=0.5)
    sideways = inclined.transpose(Transpose.ROTATE_90)
    assert skew.skew(sideways) == pytest.approx(-angle, abs=0.5)
    assert ocr.ImageReader().read(inclined, lambda: None).markdown.split() == WORDS * 6


def test_a_level_page_or_one_without_lines_stays_as_it_is() -> None:
    level = documents.text_image(*[" ".join(WORDS)] * 6)
    assert skew.straighten(level) is level
    for color in ("white", "black"):
        blank = Image.new("RGB", (300, 400), color)
        assert skew.straighten(blank) is blank
