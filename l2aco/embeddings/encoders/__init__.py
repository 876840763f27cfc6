"""Encoders: the table of what is known, and one file for each way to encode."""
