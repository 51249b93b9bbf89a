"""The status of every run, read from files only."""
