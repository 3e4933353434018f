"""Decides what will happen to each row, from its request and from what exists, before the first write."""
