"""Loops over plain arrays, compiled by numba; the autograd functions that call them stand beside their torch twins."""
