"""Reads connection settings from the environment: proxies, certificates, and headers for sign-in proxies."""

import functools
import ipaddress
import json
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from pydantic import SecretStr

from label_studio_stencil.labelstudio.address import is_loopback
from label_studio_stencil.problems import StencilError

#: Variables that name certificates: a file, a folder, and a file or folder.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
#: Headers that go with each request, as JSON or as lines of `Name: value`.
HEADERS_VARIABLE = "LABEL_STUDIO_HEADERS"

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: Headers that Stencil sets itself.
_OWN_HEADERS = frozenset({"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"})


class BadConnectionSetting(StencilError):
    """A proxy, a certificate or a header in the environment can't be used; nothing was sent."""


def proxy_for(url: str) -> str | None:
    """The proxy in the environment for a server; `None` if the server is on this machine.

    `NO_PROXY` may list hosts, domains, and networks such as `10.0.0.0/8`.

    Raises:
        BadConnectionSetting: The proxy's address is malformed.
    """
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc) or _in_excepted_network(parts.hostname or ""):
        return None
    proxies = getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    found = proxies.get(kind)
    if not found:
        return None
    found = found if "://" in found else f"http://{found}"
    try:
        address = urlsplit(found)
        usable = address.scheme in _PROXY_SCHEMES and bool(address.hostname) and address.port is not False
    except ValueError:
        usable = False
    if not usable:
        # Not repeated: it may hold a password.
        raise BadConnectionSetting(
            f"{kind.upper()}_PROXY can't be the address of a proxy.", hint="Write it as http://host:port, or unset it."
        )
    return found


def _in_excepted_network(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def ssl_context() -> ssl.SSLContext:
    """The trusted certificates: those that the environment names, or else certifi's.

    Raises:
        BadConnectionSetting: A file or folder that it names can't be used.
    """
    return _ssl_context(tuple((name, path) for name in CERTIFICATES if (path := os.environ.get(name))))


# Loading certificates takes 20 ms and more.
@functools.cache
def _ssl_context(named: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    if not named:
        return httpx.create_ssl_context(trust_env=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, path in named:
        where = Path(path)
        if not where.exists():
            raise BadConnectionSetting(f"{name} names {path}, which does not exist.", hint="Correct it, or unset it.")
        try:
            context.load_verify_locations(capath=path) if where.is_dir() else context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise BadConnectionSetting(f"{name} names {path}, which holds no PEM certificates ({error}).") from None
    return context


def headers_in(text: str, *, source: str = HEADERS_VARIABLE) -> dict[str, SecretStr]:
    """Extra headers, such as those that a sign-in proxy asks for: a JSON object, or a line `Name: value` for each.

    Args:
        text: The headers; blank gives none.
        source: Their source, for messages.

    Raises:
        BadConnectionSetting: They are malformed. The message shows no value.
    """
    return checked_headers(_pairs(text.strip(), source), source=source)


def _pairs(text: str, source: str) -> Mapping[str, object]:
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise BadConnectionSetting(
                f"{source} starts like a JSON object, but is not valid JSON.", hint="Check its quotes."
            ) from None
        return {str(name): value for name, value in found.items()}
    pairs = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadConnectionSetting(
                f"{source}: line {number} has no colon.", hint="Write each header as `Name: value`."
            )
        pairs[name.strip()] = value.strip()
    return pairs


def checked_headers(pairs: Mapping[str, object], *, source: str) -> dict[str, SecretStr]:
    """Headers that can be sent, by name in lower case.

    Raises:
        BadConnectionSetting: One of them can't be sent. The message shows no value.
    """
    headers = {}
    for name, given in pairs.items():
        value = given.get_secret_value() if isinstance(given, SecretStr) else given
        if not _HEADER_NAME.fullmatch(name):
            raise BadConnectionSetting(f"{source}: {name[:40]!r} can't be the name of a header.")
        if name.lower() in _OWN_HEADERS:
            raise BadConnectionSetting(f"{source}: the header {name} is Stencil's own.", hint="Leave it out.")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value.strip():
            raise BadConnectionSetting(f"{source}: the value of the header {name} is not one line of ASCII text.")
        headers[name.lower()] = SecretStr(value.strip())
    return headers
