"""Runs the sheets of a folder or bucket, and moves each away with its results."""
