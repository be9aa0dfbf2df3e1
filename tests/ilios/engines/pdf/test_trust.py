"""Text layers that differ from what the page shows are found, and only those."""

import random

import pytest

from ilios.engines.pdf import trust
from tests import documents
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import HELVETICA, Builder, lines

LANGUAGES = {
    "English": "The rehearsal begins on Monday at seven. Please close your hives before six "
    "o'clock and bring the scores of the last concert. New voices are welcome at any time.",
    "German": "Die Obstwiese wird am Donnerstagabend gespritzt. Bitte schlie\u00dfen Sie Ihre "
    "Bienenst\u00f6cke vor sechs Uhr und \u00f6ffnen Sie sie erst am Freitag wieder.",
    "Czech": "Sad bude post\u0159\u00edk\u00e1n ve \u010dtvrtek ve\u010der. Zav\u0159ete "
    "pros\u00edm \u00faly p\u0159ed \u0161estou hodinou a otev\u0159ete je v p\u00e1tek.",
    "Vietnamese": "V\u01b0\u1eddn c\u00e2y \u0103n qu\u1ea3 s\u1ebd \u0111\u01b0\u1ee3c phun "
    "thu\u1ed1c v\u00e0o t\u1ed1i th\u1ee9 N\u0103m. Xin vui l\u00f2ng \u0111\u00f3ng t\u1ed5 ong.",
    "Russian": "\u0421\u0430\u0434 \u043e\u043f\u0440\u044b\u0441\u043a\u0438\u0432\u0430\u044e"
    "\u0442 \u0432 \u0447\u0435\u0442\u0432\u0435\u0440\u0433 \u0432\u0435\u0447\u0435\u0440"
    "\u043e\u043c. \u0417\u0430\u043a\u0440\u043e\u0439\u0442\u0435 \u0443\u043b\u044c\u0438 "
    "\u0434\u043e \u0448\u0435\u0441\u0442\u0438 \u0447\u0430\u0441\u043e\u0432 \u0438 "
    "\u043e\u0442\u043a\u0440\u043e\u0439\u0442\u0435 \u0438\u0445 \u0441\u043d\u043e"
    "\u0432\u0430 \u0432 \u043f\u044f\u0442\u043d\u0438\u0446\u0443.",
    "code": "def main(argv): for i in range(10): print(x[i], self.value) if a != b else None; "
    "return camelCaseName(someThing, getValue()) # comment here for all",
    "formulas": "Let f(x) = x2 + 3x and g(y) = aij xi yj for i, j = 1, . . . , n where k.",
    "codes": "SKU AB12CD34 serial 0x7F3A 9a8b7c6d5e4f MAC 00:1B:44:11:3A:B7 v2.18 H2O CO2 mp3 B2B "
    "i18n x86_64 A1 12.50 B2 13.70 C3 99.12 AA-123-X 2021-04-01 B7731 KX12 9981 1,204.55 77% N/A",
    "contents": "1.1 Introduction .................. 3 1.2 Methods ............. 12 2.3 Trials ..",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_with_a_meaning_is_not_suspected(language: str) -> None:
    assert not trust.is_noise(LANGUAGES[language])


@pytest.mark.parametrize("language", ["English", "German", "Czech", "Vietnamese", "Russian"])
def test_most_texts_of_exchanged_letters_are_suspected(language: str) -> None:
    text = LANGUAGES[language].lower()
    letters = sorted({letter for letter in text if letter.isalpha()})
    found = 0
    for seed in range(20):
        exchanged = letters.copy()
        random.Random(seed).shuffle(exchanged)
        table = dict(zip(map(ord, letters), exchanged, strict=True))
        found += trust.is_noise(text.translate(table))
    assert found >= 12


def test_control_characters_in_place_of_letters_are_unreadable() -> None:
    text = LANGUAGES["English"]
    assert trust.is_unreadable("".join(chr(ord(one) + 29) for one in text))
    assert not trust.is_unreadable(text.replace("o'clock", "o\x92clock"))


@pytest.mark.parametrize("language", ["English", "German"])
def test_texts_of_shifted_letters_are_suspected(language: str) -> None:
    small = "abcdefghijklmnopqrstuvwxyz"
    for shift in range(1, 26):
        table = str.maketrans(small, small[shift:] + small[:shift])
        assert trust.is_noise(LANGUAGES[language].lower().translate(table)), shift


def shifted(text: str) -> str:
    """Return a text in printable codes that stand for others, in pieces of six."""
    codes = "".join(chr(33 + (ord(one) + 15) % 94) for one in text if one not in " ()\\")
    return " ".join(codes[at : at + 6] for at in range(0, len(codes), 6))


SHIFTED = tuple(
    shifted(text).replace("(", "<").replace(")", ">").replace("\\", "/")
    for text in (
        "The rehearsal of the choir begins at seven in the evening and ends at nine",
        "Everybody who likes to sing is welcome to come along and bring a friend",
    )
)
"""Lines that PDF strings may contain as they are."""


def test_texts_of_shifted_codes_are_suspected() -> None:
    assert trust.is_noise(shifted(LANGUAGES["English"]))


def test_letters_of_another_encoding_are_suspected() -> None:
    russian = LANGUAGES["Russian"].encode("cp1251").decode("latin-1")
    assert trust.is_noise(russian * 2)


def test_an_untrusted_layer_is_replaced_by_recognition(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    image = documents.text_image("List of all members of the choir in the town", height=60)
    grey = image.convert("L")
    picture = builder.image(grey.tobytes(), *grey.size)
    noise = lines(*SHIFTED, top=650)
    hidden = noise.replace("BT", "BT 3 Tr")
    scale = 500 / grey.width
    drawn = f"q 500 0 0 {scale * grey.height} 50 600 cm /I0 Do Q\n"
    builder.page(drawn + hidden, images=[picture], size=(612, 792))
    (page,) = convert_pdf(builder.build())
    assert "List of all members of the choir in the town" in " ".join(page.markdown.split())
    assert SHIFTED[0].split()[0] not in page.markdown
    assert [warning.code for warning in page.warnings] == ["text_layer_untrusted"]
    assert page.method == "recognition"
    assert page.confidence is not None


def test_narrow_glyphs_that_claim_to_be_chinese_are_recognised(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    mapped = "".join(f"<{code:02X}> <{0x4E00 + 37 * code:04X}>\n" for code in range(32, 127))
    table = builder.stream(
        "/CIDInit /ProcSet findresource begin begincmap\n"
        "1 begincodespacerange <00> <FF> endcodespacerange\n"
        f"95 beginbfchar\n{mapped}endbfchar\nendcmap end".encode()
    )
    font = builder.add(f"{HELVETICA[:-2]} /ToUnicode {table} 0 R >>")
    builder.page(lines(*TEXTS, size=14), font=font)
    (page,) = convert_pdf(builder.build())
    assert "The harbour master keeps the list of the pumps" in " ".join(page.markdown.split())
    assert [warning.code for warning in page.warnings] == ["text_layer_untrusted"]


def page_with_picture(*texts: str) -> bytes:
    builder = Builder()
    grey = documents.text_image("Pumps are checked on Monday", height=60).convert("L")
    picture = builder.image(grey.tobytes(), *grey.size)
    height = 400 / grey.width * grey.height
    drawn = f"q 400 0 0 {max(height, 80)} 72 400 cm /I0 Do Q\n"
    builder.page(lines(*texts) + drawn, images=[picture])
    return builder.build()


TEXTS = ("The harbour master keeps the list of the pumps.", "It hangs beside the door of the shed.")


def test_a_picture_with_text_is_read_at_its_place(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_with_picture(*TEXTS))
    text = " ".join(page.markdown.split())
    assert text.index("beside the door") < text.index("Pumps are checked on Monday")
    assert page.method == "mixed"


def test_nothing_is_recognised_when_that_is_not_wanted(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_with_picture(*TEXTS), recognition="never")
    assert "Pumps" not in page.markdown
    assert page.method == "text_layer"


def test_a_layer_of_noise_is_warned_of_where_recognition_is_not_wanted(
    convert_pdf: ConvertPdf,
) -> None:
    noise = [*SHIFTED] * 3
    (page,) = convert_pdf(documents.pdf("\n".join(noise)), recognition="never")
    assert [warning.code for warning in page.warnings] == ["text_layer_suspect"]


def test_all_is_recognised_when_that_is_wanted(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_with_picture(*TEXTS), recognition="force")
    assert page.method == "recognition"
    assert "harbour master" in page.markdown


def test_a_scan_that_is_not_read_is_warned_of(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_with_picture(), recognition="never")
    assert [warning.code for warning in page.warnings] == ["image_text_unread"]


@pytest.mark.parametrize(
    ("text", "suspected"),
    [
        (
            "\x04\x05\x06\x07\x05\x08 \x06\x0e\x0f \x07\x05\x08\x0e \x10\x0e\x11 \x12\x07\x07\x13",
            True,
        ),
        (" ".join("\x04\x05\x06\x07\x0e" * 8), False),
    ],
    ids=["words", "bullets"],
)
def test_a_font_of_words_without_meaning_is_suspected(text: str, *, suspected: bool) -> None:
    texts: dict[str | None, str] = {"Sound": LANGUAGES["English"], "Other": text}
    assert trust.suspect_fonts(texts) == (frozenset({"Other"}) if suspected else frozenset())
