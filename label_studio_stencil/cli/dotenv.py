"""Reads `.env` of the working folder: it may name a Label Studio, for commands whose environment names none.

URL, token and headers come from one place: a URL of one and a token of the other would send the token to another host. Proxies
and certificates are taken from the environment alone, since a file that came with somebody's sheets must not redirect a token.
"""

import codecs
import os
import re
from collections.abc import Mapping
from typing import Any

from label_studio_stencil.cli.display import Display
from label_studio_stencil.files import PERSON, Missing, Unusable, read
from label_studio_stencil.labelstudio.environment import HEADERS_VARIABLE
from label_studio_stencil.settings import TOKEN_VARIABLE, URL_VARIABLE, LabelStudioSettings

NAME = ".env"
#: Most bytes that are read.
_MOST = 100_000
_VARIABLES = (URL_VARIABLE, TOKEN_VARIABLE, HEADERS_VARIABLE)
_LINE = re.compile(r"\s*(?:export\s+)?(\w+)\s*=\s*(.*?)\s*")


def label_studio_of_file(display: Display, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the options `url`, `token` and `headers` of `.env`, or none if the environment sets any of the three.

    Raises:
        MissingSettings: The file sets the URL or the token, and the environment sets neither.
        InvalidAddress: Its URL can't be a Label Studio's.
        BadConnectionSetting: Its headers can't be sent.
        Unusable: The file can't be read, and the environment sets none of the three.
    """
    in_environment = [name for name in _VARIABLES if environ.get(name, "").strip()]
    try:
        found = variables(_text(read(NAME, PERSON, most=_MOST)))
    except Missing:
        return {}
    except Unusable:
        if in_environment:
            return {}
        raise
    if not found:
        return {}
    if in_environment:
        if found.get(URL_VARIABLE) != environ.get(URL_VARIABLE) or TOKEN_VARIABLE not in in_environment:
            display.note(f"{NAME} is ignored: the environment sets {' and '.join(in_environment)}.")
        return {}
    settings = LabelStudioSettings.from_environment(found, place=NAME)
    display.note(f"Label Studio: {settings.url} (from {NAME})")
    return {"url": settings.url, "token": settings.token, "headers": settings.headers}


def _text(content: bytes) -> str:
    # PowerShell writes UTF-16.
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", "replace")


def variables(text: str) -> dict[str, str]:
    """Return the variables about Label Studio that a file sets; others are ignored."""
    lines = (_LINE.fullmatch(line) for line in text.splitlines())
    found = {line[1]: _value(line[2]) for line in lines if line and line[1] in _VARIABLES}
    return {name: value for name, value in found.items() if value}


def _value(text: str) -> str:
    if text[:1] in ("'", '"') and (end := text.find(text[0], 1)) > 0:
        return text[1:end].strip()
    # A comment starts at a # that begins the value or follows a blank.
    return re.split(r"(?:^|\s)#", text)[0].strip()
