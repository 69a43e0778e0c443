"""Transport engines: TE-01 to TE-08."""
