"""MLflow: one MLflow experiment per experiment, one run per training, one nested run per scored snapshot."""
