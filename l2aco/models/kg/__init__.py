"""Message passing that is exact and does no work that no score reads. See docs/design/fast-graph.md."""
