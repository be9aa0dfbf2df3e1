-- What the Markdown of a document lacks, and how far it can be trusted, as JSON; NULL: no warning,
-- not measured.

ALTER TABLE documents ADD COLUMN warnings TEXT;
ALTER TABLE documents ADD COLUMN quality TEXT;
