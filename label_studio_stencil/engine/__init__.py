"""Carries out a plan, each row exactly once."""
