"""The header ``Content-Disposition``: file names in requests and answers, never used as paths."""

import re
from urllib.parse import quote, unquote

_QUOTABLE = re.compile(r"[ !#$&'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]+")
_PARAMETER = re.compile(r';\s*([\w!#$%&+.^`|~*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)', re.ASCII)
# RFC 8187 section 3.2.1, attr-char
_ATTR_CHARS = "!#$&+-.^_`|~"


def parse_parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header by lower-case name; what is malformed is left out."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        name, value = match.groups()
        if value.startswith('"'):
            # Only what clients escape: other backslashes belong to paths of old browsers.
            value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        found.setdefault(name.lower(), value)
    return found


def parse_part_names(header: str) -> tuple[str | None, str | None]:
    """Return name and file name of a form's part by its ``Content-Disposition`` (RFC 7578, 4.2)."""
    found = parse_parameters(header)
    charset, _, encoded = found.get("filename*", "").partition("'")
    if encoded and charset.lower() in ("utf-8", "iso-8859-1"):
        found["filename"] = unquote(encoded.partition("'")[2], charset)
    elif "filename" in found:
        # So do browsers, node and curl send what would end the name (WHATWG HTML, 4.10.21.8).
        for escaped, meant in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
            found["filename"] = found["filename"].replace(escaped, meant)
    return found.get("name"), found.get("filename")


def format_disposition(kind: str, name: str) -> str:
    """Return a ``Content-Disposition`` of ``inline`` or ``attachment`` (RFC 6266, RFC 8187)."""
    if _QUOTABLE.fullmatch(name):
        return f'{kind}; filename="{name}"'
    plain = "".join(c if _QUOTABLE.fullmatch(c) else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
