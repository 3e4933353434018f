"""Flows, one short file each."""
