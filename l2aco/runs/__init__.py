"""What a run is and what can be asked of it. Nothing here trains."""
