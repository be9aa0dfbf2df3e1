"""Vietnamese is noticed by the shape of its words, as the models write them."""

import pytest

from ilios.engines.recognition.recogniser import Line
from ilios.engines.recognition.vietnamese import is_vietnamese


def page(*texts: str) -> list[Line]:
    return [Line(40, 70 * at, 900, 70 * at + 40, text) for at, text in enumerate(texts)]


@pytest.mark.parametrize(
    "texts",
    [
        ("Chúng tôi bán rau qu tươi mi ngày", "Ca hàng m ca tù tám gi sáng"),  # the larger model
        ("Tàu sě khõi hành lúc båy giò", "Xin cåm on quý khách"),  # the smaller one
        ("Opening hours of the market:", "Ca hàng m ca tù tám gi sáng"),
        ("Hp đng thuê nhà ", "S tin thanh toán", "Đa ch: đưng Lê Li"),
    ],
)
def test_words_that_are_syllables_with_signs_are_vietnamese(texts: tuple[str, ...]) -> None:
    assert is_vietnamese(page(*texts))


@pytest.mark.parametrize(
    "texts",
    [
        ("The cat sat on the mat in the hut", "It is to be cut by noon on Monday"),
        ("Il a été à la fête dès le début du mois de mai", "où le café a été bu à côté du quai"),
        ("Die Höhe der Miete für März beträgt", "Überweisung binnen 30 Tagen"),
        ("Łódź żegluje do portu po zmroku", "co to było, tego nikt nie wie"),
        ("Příliš žluťoučký kůň pěl na louce", "a já tam byl a pil to víno"),
        ("Não há pão fresco na mesa da cozinha", "Să fie bună apa din fântână"),
        ("Ben bu evi çok sevdim", "Bir şey mi oldu sana bugün"),
    ],
)
def test_other_languages_of_latin_letters_are_not(texts: tuple[str, ...]) -> None:
    assert not is_vietnamese(page(*texts))
