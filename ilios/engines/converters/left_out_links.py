"""Links of a page whose addresses may not stand in Markdown."""

from ilios.engines.converters.inline import safe_link
from schemas.warnings import PageWarning, page_warning


class LeftOutLinks:
    """Counts links whose text is given without an address."""

    def __init__(self) -> None:
        self._count = 0

    def checked(self, address: str) -> str:
        """Return an address, or nothing in place of one that is left out."""
        if address and not safe_link(address):
            self._count += 1
            return ""
        return address

    def warnings(self) -> tuple[PageWarning, ...]:
        """Return the warning about links that are left out, if there are any."""
        return (page_warning("links_left_out", str(self._count)),) if self._count else ()
