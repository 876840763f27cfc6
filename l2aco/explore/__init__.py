"""A workspace in a browser: pages made on the server, for this machine alone, or written as plain files."""
