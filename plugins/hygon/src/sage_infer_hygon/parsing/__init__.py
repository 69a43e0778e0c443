"""What Hygon's tools print, read by pure functions from text to records: one module for each family of outputs."""
