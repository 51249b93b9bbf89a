"""What runs beneath all work: devices, processes, files, locks, progress, and where results come from."""
