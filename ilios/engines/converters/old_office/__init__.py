"""DOC, XLS and PPT, by the LibreOffice of the system where there is one."""
