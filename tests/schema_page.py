"""``python -m tests.schema_page``: writes the schema of the database into docs/database.md."""

import asyncio
import re
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ilios.database.connection import open_writer

PAGE = Path(__file__).parents[1] / "docs/database.md"
BEGIN, END = (
    "<!-- schema: `python -m tests.schema_page` writes it -->\n",
    "<!-- end of the schema -->",
)
SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
_OBJECTS = "SELECT name FROM sqlite_schema WHERE type = ? AND name NOT LIKE 'sqlite%' ORDER BY name"
_COLUMNS = "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid"
_REFERENCES = 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)'
_INDEXES = "SELECT name FROM pragma_index_list(?) WHERE origin = 'c' ORDER BY name"


def section(database: Path) -> str:
    """Return the section of the page for the schema of a database."""
    with closing(sqlite3.connect(database)) as connection:
        return BEGIN + "\n".join([*_diagram(connection), "", *_views(connection), END])


def _names(connection: sqlite3.Connection, kind: str) -> list[str]:
    return [name for (name,) in connection.execute(_OBJECTS, (kind,))]


def _diagram(connection: sqlite3.Connection) -> Iterator[str]:
    yield from ("```mermaid", "erDiagram")
    for table in _names(connection, "table"):
        yield f"    {table} {{"
        for name, type_, key in connection.execute(_COLUMNS, (table,)):
            yield f"        {type_.lower()} {name}{' PK' if key else ''}"
        yield "    }"
    for table in _names(connection, "table"):
        for (other,) in connection.execute(_REFERENCES, (table,)):
            yield f'    {other} ||--o{{ {table} : "has"'
    yield "```"
    yield from ("", "| table | indexes |", "|---|---|")
    for table in _names(connection, "table"):
        indexes = [f"`{name}`" for (name,) in connection.execute(_INDEXES, (table,))]
        yield f"| `{table}` | {', '.join(indexes) or 'none but its key'} |"


def _views(connection: sqlite3.Connection) -> Iterator[str]:
    yield from ("| view | columns |", "|---|---|")
    for view in _names(connection, "view"):
        columns = [f"`{name}`" for name, _, _ in connection.execute(_COLUMNS, (view,))]
        yield f"| `{view}` | {', '.join(columns)} |"


async def current_section(directory: Path) -> str:
    """Return the section for a database that is made in ``directory`` now."""
    path = directory / "ilios.db"
    async with open_writer(path):
        pass
    return section(path)


def main() -> None:
    """Write the section into the page."""
    with tempfile.TemporaryDirectory(prefix="ilios-") as directory:
        made = asyncio.run(current_section(Path(directory)))
    PAGE.write_text(SECTION.sub(lambda _: made, PAGE.read_text()))


if __name__ == "__main__":
    main()
