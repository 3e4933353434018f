"""Stencil creates Label Studio projects in bulk from templates: exactly one project for each row of a sheet."""

from label_studio_stencil.version import __version__

__all__ = ["__version__"]
