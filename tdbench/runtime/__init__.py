"""Infrastructure: devices, processes, files, locks, progress and provenance."""
