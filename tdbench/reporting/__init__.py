"""From scores to what people read: statistics, tables, figures, report.html, MLflow."""
