"""Reads the address and token of Label Studio from the environment, and has the default limits for a server.

Needs `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY`, unless the embedded sandbox is used.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from label_studio_stencil.labelstudio.address import base_address
from label_studio_stencil.labelstudio.environment import HEADERS_VARIABLE, headers_in
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.labelstudio.pacing import ANNOTATIONS, IMPORT
from label_studio_stencil.problems import StencilError

URL_VARIABLE = "LABEL_STUDIO_URL"
TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"  # noqa: S105

#: Every environment variable that Stencil reads, for the reference page.
VARIABLES: dict[str, str] = {
    URL_VARIABLE: "Address of your Label Studio.",
    TOKEN_VARIABLE: "A personal access token, or a legacy token.",
    HEADERS_VARIABLE: "Additional headers of each request, for sign-in proxies: a JSON object, or lines of `Name: value`.",
    "STENCIL_ALLOW": "What rows, template files and events may open besides the folder of the sheet.",
    "STENCIL_SANDBOX_DATA": "SQLite file of the embedded sandbox (default: `.stencil/sandbox.sqlite3`).",
    "STENCIL_TRACEBACK": "`1` shows the traceback of an unexpected error.",
    "SSL_CERT_FILE": "File of CA certificates to trust.",
    "SSL_CERT_DIR": "Folder of further CA certificates to trust, prepared by `openssl rehash`.",
    "REQUESTS_CA_BUNDLE": "File or folder of further CA certificates to trust.",
    "HTTPS_PROXY": "Proxy for URLs that begin with `https://`.",
    "HTTP_PROXY": "Proxy for URLs that begin with `http://`.",
    "ALL_PROXY": "Proxy for both, where the other two are not set.",
    "NO_PROXY": "Hosts, domains and networks (`10.0.0.0/8`) that are reached without a proxy.",
    "PREFECT_API_URL": "API URL of the Prefect server that `stencil submit` uses.",
}

#: The vendor's own cloud.
CLOUD_DOMAINS = ("humansignal.com", "humansignal.eu", "heartex.com")
#: Requests per second there. The vendor documents a limit of 15 for each user; this leaves some for people at their screens.
CLOUD_REQUESTS_PER_SECOND = 10.0
#: Requests per second of paths that have a limit of their own.
CLOUD_PATH_RATES = {IMPORT: 1.0, ANNOTATIONS: 5.0}

#: Requests at once. Only one on Community, which makes duplicates under concurrent requests on SQLite.
MAX_CONCURRENCY = 4
COMMUNITY_MAX_CONCURRENCY = 1


_IS = {1: "is", 2: "are"}


class MissingSettings(StencilError):
    """The environment does not name a Label Studio or its token."""


@dataclass(frozen=True, slots=True)
class LabelStudioSettings:
    """Where Label Studio is, and the token for it.

    Attributes:
        url: Label Studio's base URL, without a slash at its end.
        token: A personal access token or a legacy token.
        headers: More headers of each request.
    """

    url: str
    token: SecretStr
    headers: Mapping[str, SecretStr] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, place: str = "The environment") -> Self:
        """The Label Studio of `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY`; blank counts as missing.

        Raises:
            MissingSettings: One of them is missing, or both.
            InvalidAddress: `LABEL_STUDIO_URL` is not the address of a Label Studio.
            BadConnectionSetting: `LABEL_STUDIO_HEADERS` is malformed.
        """
        found = {name: environ.get(name, "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE)}
        missing = [name for name, value in found.items() if not value]
        if missing:
            raise MissingSettings(
                f"{place} does not say which Label Studio to use: {' and '.join(missing)} {_IS[len(missing)]} not set.",
                hint=f"Set {URL_VARIABLE} to the address of your Label Studio and {TOKEN_VARIABLE} to your token; "
                "`sandbox=True` needs neither.",
            )
        return cls(
            url=base_address(found[URL_VARIABLE]),
            token=SecretStr(found[TOKEN_VARIABLE]),
            headers=headers_in(environ.get(HEADERS_VARIABLE, "")),
        )


def has_environment(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a Label Studio or a token."""
    return any(environ.get(name, "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE))


def default_requests_per_second(url: str) -> float:
    """The default highest rate of the server at `url`: 10 on the vendor's cloud, elsewhere 0 (no limit)."""
    return CLOUD_REQUESTS_PER_SECOND if _is_cloud(url) else 0.0


def default_path_rates(url: str) -> Mapping[str, float]:
    """The highest rates of paths for which the server at `url` has separate limits, as `Pacer` takes them."""
    return CLOUD_PATH_RATES if _is_cloud(url) else {}


def _is_cloud(url: str) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in CLOUD_DOMAINS)


def default_max_concurrency(edition: Edition) -> int:
    """The default number of requests at the same time for an edition."""
    return COMMUNITY_MAX_CONCURRENCY if edition is Edition.COMMUNITY else MAX_CONCURRENCY
