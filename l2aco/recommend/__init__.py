"""A cell line in, ranked drug pairs out."""
