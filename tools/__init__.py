"""Programs for the care of the project, which neither its commands nor its results need."""
