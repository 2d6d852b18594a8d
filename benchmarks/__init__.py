"""Measures this library beside its peers: `make bench`."""
