"""SQL statements about the running time of the service and the guard of its clock."""

# The first one stays, too: it is the age of the database.
MARK_SWEEP = """
INSERT INTO sweeps (name, at) VALUES ('last', :at), ('first', :at)
ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE name = 'last'
"""

MARK_RUNNING = """
INSERT INTO running (one, ran) VALUES (1, :ran)
ON CONFLICT (one) DO UPDATE SET ran = max(ran, excluded.ran)
"""

MARK_CLOCK = """
INSERT INTO running (one, ran, believed_ran, seen_at, seen_ran, held_since, held_ahead)
VALUES (
    1, coalesce(:seen_ran, 0), :believed_ran, :seen_at, :seen_ran, :held_since, :held_ahead
)
ON CONFLICT (one) DO UPDATE SET
    ran = max(ran, excluded.ran),
    believed_ran = excluded.believed_ran,
    seen_at = excluded.seen_at, seen_ran = excluded.seen_ran,
    held_since = excluded.held_since, held_ahead = excluded.held_ahead
"""

FIRST_SWEEP = "SELECT at FROM sweeps WHERE name = 'first'"

RUNNING_TIME = "SELECT ran FROM running"

CLOCK_STATE = """
SELECT s.at, r.believed_ran, r.seen_at, r.seen_ran, r.held_since, r.held_ahead
FROM running AS r LEFT JOIN sweeps AS s ON s.name = 'last'
"""
