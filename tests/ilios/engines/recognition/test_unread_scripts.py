"""The warning about lines that cannot be read names their scripts, as far as they are found out."""

import pytest

from ilios.engines.recognition.recogniser import Line
from ilios.engines.recognition.scripts import unread_scripts

OTHER = "neither Latin, Chinese nor Japanese, such as Cyrillic or Arabic"
GREEK = "Ανακοίνωση λιμένα"


@pytest.mark.parametrize(
    ("texts", "likely", "named"),
    [
        ((GREEK, "λ ευ"), (), "Greek"),
        ((GREEK, "", "45000"), (), f"Greek, and perhaps one that is {OTHER}"),
        ((GREEK, ""), ("Cyrillic",), "Cyrillic and Greek"),
        (("", "200"), (), OTHER),
        (("",), ("Thai",), "Thai"),
        (("Thông báo",), ("Vietnamese",), "Vietnamese"),
    ],
)
def test_scripts_are_named_as_far_as_they_are_found_out(
    texts: tuple[str, ...], likely: tuple[str, ...], named: str
) -> None:
    unread = [Line(40, 70 * at, 900, 70 * at + 40, text) for at, text in enumerate(texts)]
    assert unread_scripts(unread, likely) == named
