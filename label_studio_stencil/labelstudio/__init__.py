"""Talks to a Label Studio server: the only code that knows its API."""
