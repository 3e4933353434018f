"""The calls about the one user of a sandbox, its tokens, and the server's version."""

from label_studio_sandbox._json import Object
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import RELEASE
from label_studio_sandbox.fields import Schema, Text

PERSON: Object = {
    "id": 1,
    "first_name": "Ada",
    "last_name": "Admin",
    "email": "admin@example.com",
    "username": "admin",
    "avatar": None,
}
_REFRESH = Schema({"refresh": Text(blank=False)}, frozenset({"refresh"}))

_MEMBERSHIP: Object = {
    "active": True,
    "flex": None,
    "organization_id": 1,
    "role": "OW",
    "user_type": "standard",
}
#: Required fields of a person in a list, besides id, e-mail and initials.
USER: Object = {
    "phone": "",
    "date_joined": "2026-01-05T09:00:00Z",
    "last_activity": "2026-01-05T09:00:00Z",
    "active_organization": 1,
    "active_organization_meta": {"title": "Example Labelling", "email": "admin@example.com"},
    "allow_newsletters": False,
    "custom_hotkeys": {},
    "org_membership": [_MEMBERSHIP],
    "organization_membership": _MEMBERSHIP,
}
_WHOAMI: Object = (
    PERSON
    | USER
    | {
        "initials": "AA",
        "lse_fields": {
            "active_organization_external_id": None,
            "email_notification_settings": {},
            "invite_activated": True,
            "invite_expired": False,
            "invite_expired_at": None,
            "invited_at": None,
            "invited_by": None,
            "onboarding_state": "complete",
            "social_auth_finished": True,
            "trial_company": None,
            "trial_experience_labeling": None,
            "trial_license_enterprise": None,
            "trial_models_in_production": None,
            "trial_role": None,
        },
        "pause": None,
        "permissions": ["projects.create", "projects.view", "projects.change", "projects.delete"],
        "social_accounts": [],
    }
)
_COMMIT: Object = {"message": "release", "commit": "5a9db0c", "date": "2026/01/05 09:00:00", "branch": ""}
_VERSION: Object = {
    "release": RELEASE,
    "label-studio-os-package": {"version": "1.23.2", "short_version": "1.23"},
    "label-studio-os-backend": _COMMIT,
    "label-studio-frontend": _COMMIT,
    "dm2": _COMMIT,
    "label-studio-converter": {"version": "0.0.59"},
    "edition": "Enterprise",
    "lsf": _COMMIT,
    "backend": _COMMIT,
}


def version(_call: Call) -> Answer:
    """The release and the edition. Needs no token."""
    return Answer(_VERSION)


def whoami(_call: Call) -> Answer:
    """The user that the token belongs to."""
    return Answer(_WHOAMI)


def create_token(call: Call) -> Answer:
    """Create a personal access token. Only this answer shows all of it."""
    return Answer(call.tokens.shown(call.tokens.create()), 201)


def list_tokens(call: Call) -> Answer:
    """The valid personal access tokens, without their signatures."""
    return Answer([*call.tokens.listed()])


def refresh_token(call: Call) -> Answer:
    """Return an access token. Needs no token but the personal one in its body."""
    return Answer({"access": call.tokens.access(_refresh_of(call))})


def rotate_token(call: Call) -> Answer:
    """Replace the personal access token; the old one is revoked."""
    return Answer({"refresh": call.tokens.rotate(_refresh_of(call))})


def revoke_token(call: Call) -> Answer:
    """Revoke the personal access token."""
    call.tokens.revoke(_refresh_of(call))
    return Answer(status=204)


def _refresh_of(call: Call) -> str:
    return str(_REFRESH.clean(call.data())["refresh"])
