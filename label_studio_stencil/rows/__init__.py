"""Turns rows into requests: columns, titles, overrides, steps, with all problems collected."""
