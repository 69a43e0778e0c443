"""Benchmarks: scripts that print paired ratios with their workload and baseline. They are no tests."""
