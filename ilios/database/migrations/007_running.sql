-- How long the service has run on this database, over all its starts, in milliseconds: the one clock
-- that nobody can set. And whether the wall clock is believed, or held because it jumped ahead.

CREATE TABLE running (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ran INTEGER NOT NULL,
    believed_ran INTEGER, -- `ran` of the last pass that believed the wall clock, of sweeps 'last'
    seen_at INTEGER, -- the wall clock of the last pass of all
    seen_ran INTEGER, -- and `ran` of that pass
    held_since INTEGER, -- `ran` when the hold began; NULL: there is none
    held_ahead INTEGER -- by how much the wall clock had jumped then
) STRICT;

INSERT INTO running (one, ran, believed_ran, seen_at, seen_ran)
SELECT 1, 0, 0, at, 0 FROM sweeps WHERE name = 'last';

-- Which ilios applied which step, for one that is older than the database.
CREATE TABLE upgrades (
    version INTEGER PRIMARY KEY,
    program TEXT NOT NULL
) STRICT;
