"""Broken plugins, each with one realistic fault, that prove the rules: see :mod:`.matrix`."""
