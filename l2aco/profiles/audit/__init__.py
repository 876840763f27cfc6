"""Checks of a profile set: what it covers, how it is worded, what it claims and what it gives away."""
