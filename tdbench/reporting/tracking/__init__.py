"""MLflow: an MLflow experiment for ours, a run for each training, and nested in it a run for each scored snapshot."""
