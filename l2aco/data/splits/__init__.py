"""Splits that cannot leak: how each setting divides, what it promises, and the check of both."""
