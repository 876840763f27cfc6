"""Benchmarks: a suite of runs with their controls, statistics over what was held out, and a verdict in words."""
