"""Shows what happened to each row of a batch: counts, tables, files, Markdown."""
