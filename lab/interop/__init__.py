"""Interoperability: a matrix of cells and special cases, run against a daemon that nobody here wrote."""
