"""Watches a folder or bucket for sheets, and files each with its results once it has run."""
