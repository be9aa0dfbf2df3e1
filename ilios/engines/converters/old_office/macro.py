"""The macro by which LibreOffice saves a document in another format.

The functions of LibreOfficeKit open a document as for editing: they need the parts of LibreOffice
with a user interface, run its macros if its settings allow that, and update its links. A macro of
ours in the profile opens it without a window and forbids both. Linked pictures are loaded all the
same: only the sandbox, without which nothing is converted, stops that.
"""

from pathlib import Path
from xml.sax.saxutils import escape

from msgspec import Struct

URL = b"macro:///Standard.Module1.Convert"

MACROS, UPDATE = 0, 0
"""Constants of com.sun.star.document: MacroExecMode.NEVER_EXECUTE, UpdateDocMode.NO_UPDATE."""

_LIBRARY = """<?xml version="1.0" encoding="UTF-8"?>
<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard"
 library:readonly="false" library:passwordprotected="false">
 <library:element library:name="Module1"/>
</library:library>
"""
_MODULE = """<?xml version="1.0" encoding="UTF-8"?>
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1"
 script:language="StarBasic">{text}</script:module>
"""
# After an error the macro ends: a message would wait for somebody to read it.
_TEXT = """
Sub Convert
  Dim opening(4) As New com.sun.star.beans.PropertyValue
  Dim saving(0) As New com.sun.star.beans.PropertyValue
  Dim document As Object
  On Error GoTo Failed
  opening(0).Name = "Hidden"
  opening(0).Value = True
  opening(1).Name = "MacroExecutionMode"
  opening(1).Value = {macros}
  opening(2).Name = "UpdateDocMode"
  opening(2).Value = {update}
  opening(3).Name = "ReadOnly"
  opening(3).Value = True
  opening(4).Name = "FilterName"
  opening(4).Value = "{read}"
  saving(0).Name = "FilterName"
  saving(0).Value = "{write}"
  document = StarDesktop.loadComponentFromURL("{source}", "_blank", 0, opening())
  document.storeToURL("{target}", saving())
Failed:
End Sub
"""


class Filters(Struct, frozen=True):
    """Names of the filters of LibreOffice that read a format and write another."""

    read: str
    write: str


def write(profile: Path, source: Path, target: Path, filters: Filters) -> None:
    """Write the macro into a profile that LibreOffice has made."""
    folder = profile / "user" / "basic" / "Standard"
    folder.mkdir(parents=True, exist_ok=True)
    text = _TEXT.format(
        macros=MACROS,
        update=UPDATE,
        read=filters.read,
        write=filters.write,
        # Percent-encoded: nothing in them ends a text of the macro.
        source=source.as_uri(),
        target=target.as_uri(),
    )
    (folder / "script.xlb").write_text(_LIBRARY, "utf-8")
    (folder / "Module1.xba").write_text(_MODULE.format(text=escape(text)), "utf-8")
