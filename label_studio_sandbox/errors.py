"""The error answers, with the bodies of the real server (measured on Label Studio Community 1.23.2).

Refusal                 any answer of 400 or more with a JSON body
    Unauthenticated     401: no usable token
    NotFound            404: the route exists, the object does not
    Rejected            400: fields with messages
    Crash               500: an input on which the real server itself fails
Invalid                 one value does not fit its field; a schema collects these in `Rejected`
"""

import uuid
from collections.abc import Mapping

from label_studio_sandbox._json import JSON, Object

#: The release that the sandbox claims to be, in `/api/version/` and in every error body.
RELEASE = "2.30.0"


class Refusal(Exception):
    """An answer of 400 or more with the real server's JSON body.

    Attributes:
        status: The HTTP status.
        detail: The sentence in the body.
        validation_errors: Messages by field, or None if the body has no such key.
        headers: Further headers of the answer.
        bare: The whole body, if the real server doesn't use its usual form.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        validation_errors: Mapping[str, JSON] | None = None,
        headers: Mapping[str, str] | None = None,
        bare: JSON = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.validation_errors = validation_errors
        self.headers: Mapping[str, str] = headers or {}
        self.bare = bare

    def body(self) -> JSON:
        """The JSON body, with a new id on each call, as in the real server's log."""
        if self.bare is not None:
            return self.bare
        body: Object = {
            "id": str(uuid.uuid4()),
            "status_code": self.status,
            "version": RELEASE,
            "detail": self.detail,
            "exc_info": None,
        }
        if self.validation_errors is not None:
            body["validation_errors"] = dict(self.validation_errors)
        return body


class Unauthenticated(Refusal):
    """The request has no token that the server accepts."""

    def __init__(self, detail: str = "Authentication credentials were not provided.", asks_for: str = "Token") -> None:
        super().__init__(401, detail, headers={"WWW-Authenticate": asks_for})


class NotFound(Refusal):
    """The route exists and the object does not."""

    def __init__(self, model: str) -> None:
        super().__init__(404, f"No {model} matches the given query.")


class Rejected(Refusal):
    """One or more fields of the body are not valid."""

    def __init__(self, errors: Mapping[str, JSON]) -> None:
        super().__init__(400, "Validation error", validation_errors=errors)


class Crash(Refusal):
    """The real server answers this input with a 500 and the text of the exception."""

    def __init__(self, detail: str) -> None:
        super().__init__(500, detail)


class Invalid(Exception):
    """A value does not fit its field.

    Attributes:
        messages: The body's messages about this field: a list of sentences, or an object for a nested field.
    """

    def __init__(self, messages: str | dict[str, JSON]) -> None:
        super().__init__(messages)
        self.messages: JSON = [messages] if isinstance(messages, str) else messages
