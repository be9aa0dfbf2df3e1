"""Files attached to a PDF are named in a warning, because they are not converted."""

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, annotation, line


def attached(builder: Builder, name: str) -> int:
    inner = builder.stream(b"Berth,Fee\nA1,90\n", "/Type /EmbeddedFile")
    return builder.add(f"<< /Type /Filespec /F ({name}) /UF ({name}) /EF << /F {inner} 0 R >> >>")


def test_files_attached_to_the_document_are_named_on_its_first_page(
    convert_pdf: ConvertPdf,
) -> None:
    builder = Builder()
    names = [f"berths-{number}.csv" for number in range(11)]
    listed = " ".join(f"({name}) {attached(builder, name)} 0 R" for name in names)
    builder.catalog = f"/Names << /EmbeddedFiles << /Names [{listed}] >> >>"
    builder.page(line("See the attached lists of berths.", 72, 700))
    builder.page(line("The second page", 72, 700))
    first, second = convert_pdf(builder.build())
    (warning,) = first.warnings
    assert warning.code == "attachments_not_converted"
    assert f"{', '.join(names[:8])} and 3 more." in warning.message
    assert not second.warnings


def test_a_file_attached_to_a_place_is_named_and_its_description_given(
    convert_pdf: ConvertPdf,
) -> None:
    builder = Builder()
    more = f"/Contents (The plan of the harbour) /FS {attached(builder, 'plan.dwg')} 0 R"
    pin = builder.add(annotation("FileAttachment", "500 700 520 720", more))
    builder.page(line("The harbour is small.", 72, 700), annotations=[pin])
    (page,) = convert_pdf(builder.build())
    assert "> The plan of the harbour" in page.markdown
    (warning,) = page.warnings
    assert warning.code == "attachments_not_converted"
    assert "plan.dwg" in warning.message


def test_a_long_name_is_cut_and_a_missing_one_replaced(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    listed = f"(a) {attached(builder, 'x' * 5_000)} 0 R (b) {attached(builder, '')} 0 R"
    builder.catalog = f"/Names << /EmbeddedFiles << /Names [{listed}] >> >>"
    builder.page(line("See the attached lists of berths.", 72, 700))
    (page,) = convert_pdf(builder.build())
    assert f": {'x' * 40}..., a file without a name." in page.warnings[0].message
