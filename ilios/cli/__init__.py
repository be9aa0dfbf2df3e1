"""The command line: what people type. Results on stdout, everything else on stderr."""
