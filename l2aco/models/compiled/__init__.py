"""Loops over plain arrays, compiled by numba, each with its autograd function beside a torch twin."""
