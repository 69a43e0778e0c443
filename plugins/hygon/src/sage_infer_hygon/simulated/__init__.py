"""Machines with DCUs that are written from the formats of Hygon's tools, since none is at hand."""
