"""What runs an encoder's model: one file a library."""
