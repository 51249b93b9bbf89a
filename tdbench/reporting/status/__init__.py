"""How far every run is, from files alone."""
