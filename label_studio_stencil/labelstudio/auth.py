"""Makes the `Authorization` header from either kind of Label Studio token.

A legacy token is sent as it is. A personal access token is a JWT that is exchanged for access tokens of 300 seconds
(measured on Label Studio Community 1.23.2). An expired access token gets the same 401 as a missing one, so a 401 leads to
one refresh.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from pydantic import SecretStr

from label_studio_stencil.labelstudio.errors import ADVICE, Unauthorized
from label_studio_stencil.labelstudio.pacing import Clock

#: Age in seconds at which an access token is renewed, a minute before it expires.
RENEW_AT_AGE = 240.0

#: Exchanges a personal access token for an access token.
Refresh = Callable[[str], Awaitable[str]]


class LegacyToken:
    """A token of 40 hex digits that is sent as it is and does not expire."""

    renewable = False
    expires: datetime | None = None

    def __init__(self, token: SecretStr) -> None:
        self._header = SecretStr(f"Token {token.get_secret_value()}")

    async def header(self) -> str:
        """The value of the `Authorization` header."""
        return self._header.get_secret_value()

    def refused(self, header: str) -> None:
        """Note that the server refused `header`; there is nothing to renew."""

    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        return (self._header.get_secret_value().removeprefix("Token "),)


class PersonalToken:
    """A personal access token, and its newest access token.

    If several requests find the access token missing, old or refused, one of them renews it and the others wait.

    Attributes:
        expires: When the personal access token expires; `None` if it doesn't say.
    """

    renewable = True

    def __init__(self, token: SecretStr, refresh: Refresh, clock: Clock, *, expires: datetime | None = None) -> None:
        self.expires = expires
        self._token = token
        self._refresh = refresh
        self._clock = clock
        self._access: SecretStr | None = None
        self._renewed_at = 0.0
        self._renewing = asyncio.Lock()

    async def header(self) -> str:
        """The value of the `Authorization` header, with an access token that is good for another minute.

        Raises:
            LabelStudioError: The access token could not be renewed.
        """
        access = self._fresh()
        if access is None:
            async with self._renewing:
                access = self._fresh() or await self._renewed()
        return f"Bearer {access.get_secret_value()}"

    def refused(self, header: str) -> None:
        """Note that the server refused `header`; a newer access token is kept."""
        if self._access and header == f"Bearer {self._access.get_secret_value()}":
            self._access = None

    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        token = self._token.get_secret_value()
        return (token, self._access.get_secret_value()) if self._access else (token,)

    def _fresh(self) -> SecretStr | None:
        return self._access if self._clock.now() - self._renewed_at < RENEW_AT_AGE else None

    async def _renewed(self) -> SecretStr:
        asked_at = self._clock.now()
        access = SecretStr(await self._refresh(self._token.get_secret_value()))
        self._access, self._renewed_at = access, asked_at
        return access


def credentials(token: SecretStr, refresh: Refresh, clock: Clock) -> LegacyToken | PersonalToken:
    """The credentials for a token, by its form.

    Args:
        token: As the user pasted it; surrounding space and a leading `Token` or `Bearer` are dropped.
        refresh: Exchanges a personal access token for an access token.
        clock: Clock for the age of an access token.

    Raises:
        Unauthorized: It is not a token of either kind.
    """
    text = token.get_secret_value().strip()
    scheme, _, rest = text.partition(" ")
    if scheme.lower() in ("token", "bearer"):
        text = rest.strip()
    if not text:
        raise Unauthorized("The Label Studio token is empty.", hint=ADVICE)
    if not all("!" <= character <= "~" for character in text):
        raise Unauthorized("The Label Studio token holds a space or another character that no token has.", hint=ADVICE)
    claims = _claims(text)
    if claims is None:
        return LegacyToken(SecretStr(text))
    if claims.get("token_type") != "refresh":
        raise Unauthorized(
            "LABEL_STUDIO_API_KEY holds an access token, which expires after five minutes. Use the personal "
            "access token that it was made from.",
            hint=ADVICE,
        )
    if text.count(".") != 2:
        raise Unauthorized(
            "LABEL_STUDIO_API_KEY holds a personal access token without its last part, the signature, which "
            "Label Studio's list of tokens leaves out.",
            hint=ADVICE,
        )
    return PersonalToken(SecretStr(text), refresh, clock, expires=_moment(claims.get("exp")))


def _moment(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


def _claims(token: str) -> dict[str, object] | None:
    """The claims of a JWT, or `None` if `token` is none."""
    parts = token.split(".")
    if len(parts) not in (2, 3):
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return payload if isinstance(payload, dict) else None
