"""The configuration file: its model, its schema, and how it is read."""
