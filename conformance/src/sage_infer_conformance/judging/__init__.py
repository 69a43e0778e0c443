"""From recorded histories to verdicts. Nothing here draws, runs or knows a subject."""
