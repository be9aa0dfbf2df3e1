"""A file's name is read as the client meant it."""

import pytest

from ilios.edge.multipart import parse_part_names


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('form-data; name="file"; filename="a.pdf"', "a.pdf"),
        ('form-data; name="file"; filename=a.pdf', "a.pdf"),
        ('form-data; name="file"; filename="he said \\"hi\\".pdf"', 'he said "hi".pdf'),
        ('form-data; name="file"; filename="he said %22hi%22.pdf"', 'he said "hi".pdf'),
        ('form-data; name="file"; filename="two%0D%0Alines.pdf"', "two\r\nlines.pdf"),
        ('form-data; name="file"; filename="100%25 and %20.pdf"', "100%25 and %20.pdf"),
        ('form-data; name="file"; filename="x"; filename*=UTF-8\'\'%C3%A4.pdf', "ä.pdf"),
        ('form-data; name="file"', None),
    ],
)
def test_a_name_is_read_as_browsers_and_programs_write_it(header: str, name: str | None) -> None:
    assert parse_part_names(header) == ("file", name)
