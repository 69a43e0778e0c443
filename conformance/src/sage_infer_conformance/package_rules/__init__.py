"""Judges the package that a subject was installed with: PK-01 to PK-03 and PK-05 to PK-07.

Child processes gather the facts, because some of them are about what an import does; rules judge the facts.
"""
