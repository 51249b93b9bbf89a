"""The experiment file: its schema, the runs that it expands to, and reading it."""
