"""Maintenance scripts; neither the commands nor the results need them."""
