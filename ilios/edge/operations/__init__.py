"""Every operation of the HTTP interface, declared once for the description and the index.

A test holds the table against the routes of the application, and the codes in it against those the
edge refuses with.
"""

from ilios.edge.operations import batches, documents, service, uploads, usage
from ilios.edge.operations.table import Operation

OPERATIONS: tuple[Operation, ...] = (
    *documents.OPERATIONS,
    *batches.OPERATIONS,
    *uploads.OPERATIONS,
    *usage.OPERATIONS,
    *service.OPERATIONS,
)
