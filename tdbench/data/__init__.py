"""Images: where they come from (`sources`), the one archive format (`archive`), batches (`loading`)."""
