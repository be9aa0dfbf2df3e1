"""Pages are read however they are turned, by whichever recogniser is installed."""

import subprocess
import sys

import pytest
from PIL import Image
from PIL.Image import Transpose

from ilios.engines.recognition import ocr
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

    def note(size: str) -> object:
        loaded.append(size)
        return load(size)

    monkeypatch.setattr(paddle, "_load", note)
    recogniser = paddle.PaddleRecogniser()
    large = documents.text_image(*[" ".join(WORDS)] * 3)
    recogniser.recognise(large, lambda: None)
    assert loaded == ["tiny"]
    small = large.resize((large.width // 6, large.height // 6), Image.Resampling.LANCZOS)
    recogniser.recognise(small, lambda: None)
    assert loaded == ["tiny", "small"]


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
