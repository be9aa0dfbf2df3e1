"""Content types of documents that can be converted, with their names in sentences.

A new type is a constant here, an entry of ``NAMES``, a way to detect it in ``actors.sniffing``, and
a converter in ``ilios.engines.converters.registry``.
"""

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
PNG = "image/png"
JPEG = "image/jpeg"
GIF = "image/gif"
WEBP = "image/webp"
TIFF = "image/tiff"
BMP = "image/bmp"
AVIF = "image/avif"
HEIC = "image/heic"
"""Converted where a decoder is installed."""

JPEG_2000 = "image/jp2"
DOC = "application/msword"
XLS = "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
"""These three, and their templates, are converted where LibreOffice is installed."""

ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
MSG = "application/vnd.ms-outlook"
HTML = "text/html"
EPUB = "application/epub+zip"
TXT = "text/plain"
MARKDOWN = "text/markdown"
CSV = "text/csv"
TSV = "text/tab-separated-values"
LATEX = "application/x-tex"
RTF = "application/rtf"
NOTEBOOK = "application/x-ipynb+json"
EML = "message/rfc822"

NAMES = {
    PDF: "PDF",
    PNG: "PNG",
    JPEG: "JPEG",
    GIF: "GIF",
    WEBP: "WebP",
    AVIF: "AVIF",
    TIFF: "TIFF",
    BMP: "BMP",
    JPEG_2000: "JPEG 2000",
    DOCX: "DOCX",
    PPTX: "PPTX",
    ODT: "ODT",
    ODP: "ODP",
    EML: "EML",
    MSG: "MSG",
    HTML: "HTML",
    EPUB: "EPUB",
    TXT: "plain text",
    MARKDOWN: "Markdown",
    LATEX: "LaTeX",
    RTF: "RTF",
    NOTEBOOK: "Jupyter notebooks",
    XLSX: "XLSX",
    ODS: "ODS",
    CSV: "CSV",
    TSV: "TSV",
}
"""Names of the types in error messages; of those that only some machines convert there are none."""

OLD_OFFICE = {
    DOC: "an old Word document (.doc), which can be saved as DOCX",
    PPT: "an old PowerPoint presentation (.ppt), which can be saved as PPTX",
    XLS: "an old Excel workbook (.xls), which can be saved as XLSX",
}
"""Old Office files, with noun phrases for refusals."""


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


SUPPORTED_TYPES = _listed(list(NAMES.values()))
"""The types that can be converted, for error messages."""
