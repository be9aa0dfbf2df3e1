"""Text in scripts the models cannot read is noticed, and read by Tesseract where that is installed.

The letters are drawn with the fonts of the machine: the one inside of Pillow has none of them.
"""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.recognition import layout, ocr, scripts, tesseract
from ilios.engines.recognition.recogniser import Line, Recognised
from ilios.engines.sandbox import enter
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
pytestmark = pytest.mark.skipif(not FONT.exists(), reason="there are no fonts of DejaVu")

FOREIGN = {
    "Cyrillic": ("rus", ["Список книг", "Срок действия один год", "Итого 3120 томов"]),
    "Greek": ("ell", ["Κατάλογος της πόλης", "Ποσό πληρωμής 45000 ευρώ"]),
    "Arabic": ("ara", ["عقد إيجار المبنى", "مدة العقد سنة واحدة"]),
    "Hebrew": ("heb", ["חוזה שכירות של המבנה", "תקופת החוזה שנה אחת"]),
    "Vietnamese": ("vie", ["Hợp đồng thuê nhà ở", "Số tiền thanh toán 45000 đồng"]),
}
KNOWN = (
    [
        "Lease contract of the building",
        "Amount of payment 45000 EUR",
        "and takes effect on signing.",
    ],
    ["Mietvertrag für Räume", "Höhe der Zahlung 45000 Euro", "Überweisung binnen 30 Tagen"],
    ["Umowa najmu lokalu użytkowego", "Kwota płatności 45000 złotych"],
    ["Smlouva o nájmu prostor", "Výše platby 45000 korun českých"],
    ["A-17 4,512.00 (3.2%)", "ISBN 978-3-16-148410-0", "12.03.2024 10:45 EUR 17.90"],
)


def page(lines: list[str]) -> Image.Image:
    image = Image.new("RGB", (900, 60 + 90 * len(lines)), "white")
    font = ImageFont.truetype(str(FONT), 28)
    for place, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 30 + 90 * place), line, "black", font)
    return image


def read(image: Image.Image, *languages: str) -> ocr.ImageText:
    return ocr.ImageReader(languages).read(image, lambda: None)


@pytest.fixture
def no_tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tesseract, "installed_languages", frozenset)


@pytest.mark.usefixtures("no_tesseract")
@pytest.mark.parametrize("script", FOREIGN)
def test_an_unknown_script_is_never_passed_over_in_silence(script: str) -> None:
    text = read(page(FOREIGN[script][1]))
    assert "script_not_recognised" in [one.code for one in text.warnings]
    assert text.confidence
    assert text.confidence.average < 1


def test_lines_without_a_reading_have_no_confidence() -> None:
    line, blank = Line(0, 0, 90, 20, "Ledger", 0.9), Line(0, 30, 90, 50, "")

    def averages(lines: tuple[Line, ...], unread: tuple[Line, ...]) -> float | None:
        found = Recognised(lines, 100, 100, unread=unread)
        confidence = ocr.ImageText(layout.lay_out_lines(lines), found).confidence
        return confidence.average if confidence else None

    assert averages((), ()) is None
    assert averages((line,), ()) == 0.9
    assert averages((line,), (blank, blank)) == 0.3
    assert averages((), (blank,)) == 0.0


def test_a_model_that_leaves_unknown_letters_out_has_lines_of_few_signs() -> None:
    rapid = pytest.importorskip("ilios.engines.recognition.rapid")
    assert rapid._is_unread(Line(0, 0, 300, 30, "", 0.9))
    assert rapid._is_unread(Line(0, 0, 300, 30, "3120", 0.9))
    assert not rapid._is_unread(Line(0, 0, 300, 30, "Ledger of 3120", 0.9))
    assert not rapid._is_unread(Line(0, 0, 60, 60, "", 0.9))  # a symbol


@pytest.mark.usefixtures("no_tesseract")
@pytest.mark.parametrize("lines", KNOWN)
def test_a_known_script_raises_no_alarm(lines: list[str]) -> None:
    text = read(page(lines))
    assert text.warnings == ()
    assert text.recognised.unread == ()


PROSE = [
    "The harbour office opens at eight and closes at five in the evening",
    "Every ship that enters pays its dues before it leaves again",
    "The keeper of the light writes the weather into his book",
    "No cargo is taken ashore between sunset and sunrise",
    "Letters for the crew are handed out at the second window",
]


@pytest.mark.usefixtures("no_tesseract")
@pytest.mark.parametrize("script", ["Cyrillic", "Greek", "Hebrew"])
def test_one_line_in_an_unknown_script_is_not_given_as_another(script: str) -> None:
    text = read(page([*PROSE[:3], FOREIGN[script][1][1], *PROSE[3:]]))
    assert "script_not_recognised" in [one.code for one in text.warnings]
    assert [line.text[:9] for line in text.recognised.lines if line.confidence > 0.9] == [
        line[:9] for line in PROSE
    ]


@pytest.mark.skipif("rus" not in tesseract.installed_languages(), reason="Tesseract has no rus")
def test_one_line_in_an_unknown_script_is_read_where_its_language_is_installed() -> None:
    text = read(page([*PROSE[:3], "Итого 3120 томов", *PROSE[3:]]))
    assert "Итого 3120 томов" in text.markdown
    assert text.warnings == ()


def test_signs_inside_of_letters_are_a_language_that_is_not_installed() -> None:
    def line(text: str) -> Line:
        return Line(0, 0, 100, 20, text, 0.9)

    misread = "Догов!р оренди [на сплачуе щом1сяця"  # noqa: RUF001
    assert scripts.is_misread([line(misread)])
    assert not scripts.is_misread([line("Итого 3120 томов (без НДС) [см. п. 3]")])


def test_digits_of_a_script_are_its_letters() -> None:
    assert scripts.script_of("๑๒๓๔-๕๖๗๘") == "Thai"
    assert scripts.script_of("١٢٣٤") == "Arabic"
    assert scripts.script_of("1234-5678") is None


def test_leaders_are_no_text_that_is_not_read() -> None:
    seen = Line(0, 0, 100, 20, "Golem ......................... 11", 0.9)
    assert scripts.unread_lines([seen], [Line(0, 0, 100, 20, "Golem . 11", 0.95)]) == []


def test_the_first_lines_are_read_in_all_languages_of_their_script() -> None:
    asked: list[str] = []

    def read_line(_: Image.Image, language: str) -> tuple[str, float]:
        asked.append(language)
        return "Договір", {"rus": 0.91, "ukr": 0.96}.get(language, 0.0)

    lines = [Line(0, 30 * row, 90, 30 * row + 20, "") for row in range(5)]
    image = Image.new("RGB", (100, 200), "white")
    names = ["rus", "ell", "ukr"]
    scripts.read_lines(image, lines, names, lambda: None, read_line)
    assert asked == ["rus", "ukr", *["ukr", "rus"] * 2, "ukr", "ukr"]


@pytest.mark.usefixtures("no_tesseract")
def test_the_languages_of_the_document_name_the_script() -> None:
    (warning, *_) = read(page(FOREIGN["Cyrillic"][1]), "uk", "en").warnings
    assert "Cyrillic" in warning.message


@pytest.mark.parametrize("script", FOREIGN)
def test_an_unknown_script_is_read_where_its_language_is_installed(script: str) -> None:
    language, lines = FOREIGN[script]
    if language not in tesseract.installed_languages():
        pytest.skip(f"Tesseract's language {language} is not installed")
    reader = ocr.ImageReader()
    text = reader.read(page(lines), lambda: None)
    assert "script_not_recognised" not in [one.code for one in text.warnings]
    for line in lines:
        assert line in text.markdown
    assert "+tesseract-" in reader.model


def test_two_scripts_on_a_page_are_read_each_in_its_language() -> None:
    if not {"rus", "ell"} <= tesseract.installed_languages():
        pytest.skip("Tesseract's languages rus and ell are not installed")
    lines = ["Invoice 45000", "Список книг библиотеки", "Κατάλογος της πόλης"]
    text = read(page(lines)).markdown
    assert [line for line in lines if line not in text] == []


def test_only_languages_that_are_installed_are_tried_and_those_asked_for_first() -> None:
    installed = {"rus", "ukr", "ell", "eng"}
    assert scripts.tesseract_languages((), installed) == ["rus", "ukr", "ell"]
    assert scripts.tesseract_languages(("uk-UA", "en", "th", "el"), installed) == ["ukr", "ell"]


def test_a_line_is_read_again_in_the_language_of_the_line_before() -> None:
    tried = []

    def read_line(_: Image.Image, language: str) -> tuple[str, float]:
        tried.append(language)
        return ("Договор", 0.95) if language == "rus" else ("Договор", 0.3)

    lines = [Line(0, 0, 9, 9, ""), Line(0, 9, 9, 18, "")]
    blank = Image.new("RGB", (20, 20))
    found, missed = scripts.read_lines(blank, lines, ["ell", "rus"], lambda: None, read_line)
    assert (len(found), missed) == (2, [])
    assert tried == ["ell", "rus", "rus"]


async def test_another_script_is_read_inside_the_sandbox(place_document: PlaceDocument) -> None:
    if "rus" not in tesseract.installed_languages():
        pytest.skip("Tesseract's language rus is not installed")
    if enter.missing_features():
        pytest.skip("; ".join(enter.missing_features()))
    scan = documents.image_file(page(FOREIGN["Cyrillic"][1]), "PNG")
    async with LocalEngine(EngineLimits(processes=1, sandbox="strict")) as engine:
        done = await engine.convert(place_document(scan, documents.PNG))
    assert "Список книг" in done.pages[0]
    assert "+tesseract-" in done.model
