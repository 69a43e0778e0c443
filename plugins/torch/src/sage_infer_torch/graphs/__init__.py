"""Compiled decode graphs: a step's forward as one compiled function per batch size, made by a child process."""
