"""Who acts: peers that hear one event and say the next. No I/O library lives here."""
