"""Hardware detectors: HD-01 to HD-07."""
