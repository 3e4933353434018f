"""Authentication by the legacy token, or by the personal access token and its short-lived access tokens.

Forms, lifetimes and messages were measured on Label Studio Community 1.23.2.
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from label_studio_sandbox._json import JSON, Object, dumps, loads
from label_studio_sandbox.errors import Refusal, Rejected, Unauthenticated
from label_studio_sandbox.fields import stamp
from label_studio_sandbox.store import Store

#: The default legacy token of a sandbox: public, and useless elsewhere.
DEFAULT_TOKEN = "57e9c115a9db0c057e9c115a9db0c057e9c115a9"  # noqa: S105
#: A personal access token of the real server lives for two hundred years.
_PERSONAL_SECONDS = 200 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one sandbox.

    Attributes:
        legacy: The key in `Authorization: Token`.
        access_seconds: Lifetime of an access token in seconds.
    """

    store: Store
    legacy: str = field(repr=False)
    access_seconds: float

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Nothing, for a request that carries a token of either kind.

        Raises:
            Unauthenticated: it does not.
        """
        if raw := headers.get(b"x-api-key"):
            # Overrides `Authorization`. That an access token may stand here is what the official SDK expects.
            key = raw.decode("latin-1")
            if key.count(".") == 2:
                self._check_access(key)
            else:
                self._check_legacy([key])
            return
        words = headers.get(b"authorization", b"").decode("latin-1").split()
        if words[:1] == ["Bearer"] and len(words) == 2:
            self._check_access(words[1])
        elif words and words[0].lower() == "token":
            self._check_legacy(words[1:])
        else:
            raise Unauthenticated

    def create(self) -> str:
        """A new personal access token.

        Raises:
            Refusal: there is one already; the server keeps one a user.
        """
        if self.store.tokens():
            raise Refusal(409, "You already have a valid token. Please revoke it before creating a new one.")
        return self._issue()

    def personal(self) -> str:
        """The personal access token that is valid now, made where there is none."""
        valid = self.store.tokens()
        return valid[0] if valid else self._issue()

    def listed(self) -> list[Object]:
        """The valid personal access tokens without their signatures, as the server lists them."""
        return [self.shown(token, signed=False) for token in self.store.tokens()]

    def shown(self, token: str, *, signed: bool = True) -> Object:
        """A personal access token as an answer holds it, with its dates, which Enterprise adds."""
        claims = _decode(token.split(".")[1])
        dates = {"created_at": claims["iat"], "expires_at": claims["exp"]} if isinstance(claims, dict) else {}
        times: Object = {
            name: stamp(dt.datetime.fromtimestamp(float(str(when)), dt.UTC)) for name, when in dates.items()
        }
        return {"token": token if signed else token.rpartition(".")[0]} | times

    def access(self, refresh: str) -> str:
        """An access token for a personal one.

        Raises:
            Unauthenticated: `refresh` is no personal access token, or a revoked one.
        """
        self._personal_claims(refresh)
        return self._sign("access", self.access_seconds)

    def rotate(self, refresh: str) -> str:
        """A new personal access token in the place of `refresh`, which is revoked.

        Raises:
            Rejected: `refresh` is no personal access token, or a revoked one.
        """
        try:
            claims = self._personal_claims(refresh)
        except Unauthenticated:
            raise Rejected({"non_field_errors": ["Invalid refresh token"]}) from None
        self.store.revoke_token(str(claims["jti"]))
        return self._issue()

    def revoke(self, refresh: str) -> None:
        """Revoke `refresh`.

        Raises:
            Refusal: it was of none before.
        """
        try:
            claims = self._personal_claims(refresh)
        except Unauthenticated:
            if (self._read(refresh) or {}).get("token_type") == "access":
                # Taken, and of use until it expires all the same (Community 1.23.2).
                return
            detail = "Token is invalid or already blacklisted."
            raise Refusal(404, detail, bare={"detail": detail}) from None
        self.store.revoke_token(str(claims["jti"]))

    def _check_legacy(self, words: list[str]) -> None:
        if not words:
            raise Unauthenticated("Invalid token header. No credentials provided.")
        if len(words) > 1:
            raise Unauthenticated("Invalid token header. Token string should not contain spaces.")
        if not self._is_legacy(words[0]):
            raise Unauthenticated("Invalid token.")

    def _is_legacy(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self.legacy.encode())

    def _check_access(self, token: str) -> None:
        claims = self._read(token)
        # An expired token, a forged one and a personal one are answered as if there were none.
        if claims is None or claims.get("token_type") != "access":
            raise Unauthenticated

    def _personal_claims(self, token: str) -> Object:
        claims = self._read(token)
        if claims is None:
            raise _refused("Token is invalid")
        if claims.get("token_type") != "refresh":
            raise _refused("Token has wrong type")
        state = self.store.token_state(str(claims.get("jti")))
        if not state:
            raise _refused("Token is invalid" if state is None else "Token is blacklisted")
        return claims

    def _issue(self) -> str:
        token = self._sign("refresh", _PERSONAL_SECONDS)
        claims = self._read(token) or {}
        self.store.add_token(str(claims["jti"]), token)
        return token

    def _sign(self, kind: str, seconds: float) -> str:
        issued = time.time()
        # Whole seconds, as the real server writes them, but for the fractions of a second that tests ask for.
        expiry: float = int(issued + seconds) if seconds >= 1 else issued + seconds
        claims: Object = {
            "token_type": kind,
            "exp": expiry,
            "iat": int(issued),
            "jti": uuid.uuid4().hex,
            "user_id": "1",
        }
        head = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{head}.{self._signature(head)}"

    def _read(self, token: str) -> Object | None:
        head, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(head).encode()):
            return None
        claims = _decode(head.partition(".")[2])
        if not isinstance(claims, dict) or not isinstance(claims.get("exp"), int | float):
            return None
        return claims if float(str(claims["exp"])) > time.time() else None

    def _signature(self, head: str) -> str:
        return _base64(hmac.digest(self._secret(), head.encode(), hashlib.sha256))

    def _secret(self) -> bytes:
        secret = self.store.fact("secret_key")
        if secret is None:
            secret = secrets.token_hex(32)
            self.store.remember("secret_key", secret)
        return secret.encode()


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, asks_for='Bearer realm="api"')


def _encode(value: Object) -> str:
    return _base64(dumps(value))


def _decode(text: str) -> JSON:
    try:
        return loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, json.JSONDecodeError):
        return None


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
