"""Undoes a batch: deletes the projects that it provably made and that nobody has worked on."""
