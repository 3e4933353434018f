"""Reads templates of each kind and renders them for a row."""
