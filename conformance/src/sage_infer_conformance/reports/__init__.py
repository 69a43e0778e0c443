"""Everything between a run and a reader: data, a certificate, a badge, JUnit, a page and a table."""
