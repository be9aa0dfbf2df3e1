"""Environment variables of the commands for a running service, of no use to it."""

SERVER = "ILIOS_SERVER"
KEY = "ILIOS_KEY"
CONTEXT = "ILIOS_CONTEXT"

CLIENT_VARIABLES = frozenset({SERVER, KEY, CONTEXT})
