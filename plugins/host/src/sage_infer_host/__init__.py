"""The machine itself: the hardware detector ``cpu``."""
