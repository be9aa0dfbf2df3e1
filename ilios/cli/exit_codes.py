"""What the command says to whoever called it."""

OK = 0
SOME_FAILED = 1
USAGE = 2
CANNOT_START = 3
INTERRUPTED = 130
