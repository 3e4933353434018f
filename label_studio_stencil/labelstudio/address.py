"""Parses the URL of a Label Studio: the address of its API, and whether to keep connections."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from label_studio_stencil.labelstudio.errors import InvalidAddress
from label_studio_stencil.labelstudio.models import Edition

#: Pages whose URLs people copy; the path before them is the one that Label Studio is served under.
_PAGES = re.compile(
    r"/(?:projects(?:/\d+(?:/.*)?)?|user/(?:account|login|signup|logout)(?:/.*)?|api(?:/(?:version|projects|current-user).*)?"
    r"|docs(?:/api)?|data/upload/.*|organization(?:/\w+)?|workspaces(?:/\d+)?|dashboard|home)/?\Z"
)

_DEFAULT_PORTS = {"http": 80, "https": 443}


def base_address(url: str) -> str:
    """Label Studio's base URL, without slash, page, query or fragment at its end.

    Raises:
        InvalidAddress: `url` is not an http or https URL, or has a user name or password.
    """
    parts = _split(url.strip())
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        hint = f"Did you mean https://{url.strip()}?" if "://" not in url and url.strip() else ""
        raise InvalidAddress("The Label Studio URL must begin with http:// or https:// and name a host.", hint=hint)
    if "@" in parts.netloc:
        raise InvalidAddress(
            "The Label Studio URL must not carry a user name or password.", hint="The token is enough."
        )
    path = "".join(f"/{segment}" for segment in parts.path.split("/") if segment)
    return f"{parts.scheme}://{_netloc(parts)}{_PAGES.sub('', path)}"


def host_of(url: str) -> str:
    """Host and port of a Label Studio, by which limits, events and artifacts name it: `labels.example.com`.

    The same for all spellings of its address. The zone of an IPv6 address is left out: it differs between machines, and
    Prefect takes no name with a `%`.
    """
    return re.sub(r"%[^\]]*", "", _netloc(urlsplit(url)))


def _netloc(parts: SplitResult) -> str:
    """Host and port of a URL in one spelling: in lower case, an IPv6 address as short as possible, no port that is the default.

    Raises:
        ValueError: One of them is malformed.
    """
    # In lower case, but for the zone of an IPv6 address.
    host, port = parts.hostname or "", parts.port
    if ":" in host:
        host = f"[{ipaddress.ip_address(host)}]"
    return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"


def is_loopback(url: str) -> bool:
    """Whether Label Studio runs on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keep_alive_for(edition: Edition, url: str) -> bool:
    """Whether connections should be kept between requests.

    Not to Community over plain http: its own server delays every small answer on a kept connection by 44 ms
    (measured on Label Studio Community 1.23.2). Behind https stands a proxy, which does not.
    """
    return edition is not Edition.COMMUNITY or urlsplit(url).scheme != "http"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Raises an error if host or port is wrong.
        _netloc(parts)
    except ValueError as exc:
        raise InvalidAddress(f"The Label Studio URL can't be read: {exc}.") from exc
    return parts
