"""The HTTP edge: its handlers parse requests, publish events and answer; they convert nothing."""
