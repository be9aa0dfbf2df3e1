"""Standing problems found while the service runs: a lost log, missing files, damaged stores."""
