-- The options of a conversion as one JSON object; NULL: none is asked for. It takes the place of
-- engine_wanted and model_wanted, which are no longer written.

ALTER TABLE documents ADD COLUMN options TEXT;

UPDATE documents
SET options = json_patch('{}', json_object('engine', engine_wanted, 'model', model_wanted))
WHERE engine_wanted IS NOT NULL OR model_wanted IS NOT NULL;
