"""The `ordering` of lists without pages, which are small enough to be sorted in memory."""

from label_studio_sandbox._json import JSON, Object


def sort(items: list[Object], ordering: str) -> list[JSON]:
    """Sort items by the fields of `ordering` (comma-separated, `-` for descending); unknown ones are ignored."""
    for term in reversed([term.strip() for term in ordering.split(",") if term.strip()]):
        name = term.lstrip("-")
        if all(isinstance(item.get(name), str | int) and not isinstance(item[name], bool) for item in items):
            items = sorted(items, key=lambda item: _key(item[name]), reverse=term.startswith("-"))
    return list(items)


def _key(value: JSON) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (float(str(value)), "")
