"""Reads a sheet from any source into rows."""
