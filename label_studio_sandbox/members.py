"""The people of the organisation, and the members of a project, after the vendor's OpenAPI.

What it leaves open is decided here: who is a member stays one when added again, an unknown id is skipped, and a project shows
its members as people with their role in it.
"""

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.account import PERSON, USER
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Invalid, NotFound, Rejected
from label_studio_sandbox.fields import Integer, expect_object

_ROLES = frozenset({"OW", "AD", "MA", "RE", "AN", "DI", "NO"})

_OTHERS = (("Ann", "Annotator"), ("Rob", "Reviewer"), ("Mia", "Manager"))
PEOPLE: tuple[Object, ...] = (
    PERSON,
    *(
        PERSON
        | {
            "id": number,
            "first_name": first,
            "last_name": last,
            "email": f"{first.lower()}@example.com",
            "username": first.lower(),
        }
        for number, (first, last) in enumerate(_OTHERS, start=2)
    ),
)


def list_users(_call: Call) -> Answer:
    """All people, as a list without pages."""
    return Answer([person | USER | {"initials": _initials(person)} for person in PEOPLE])


def add_members(call: Call) -> Answer:
    """Add members. Returns how many were added and who was skipped."""
    project = call.store.project(call.id)
    if project is None:
        raise NotFound("Project")
    data = expect_object(call.data())
    if not isinstance(data.get("all"), bool):
        raise Rejected({"all": ["This field is required."]})
    asked = _ids("included", data.get("included", []))
    people = {person["id"]: person for person in PEOPLE}
    wanted = list(people) if data["all"] else asked
    roles = _roles(data.get("roles", []))
    kept = project.settings.get("members")
    members = {each["id"]: each for each in kept if isinstance(each, dict)} if isinstance(kept, list) else {}
    before = len(members)
    members |= {number: {**people[number], "role": roles.get(number, "AN")} for number in wanted if number in people}
    project.settings |= {"members": list(members.values()), "members_count": len(members)}
    call.store.save_project(project)
    skipped: list[JSON] = [number for number in wanted if number not in people]
    return Answer({"assignments": len(members) - before, "skipped_user_ids": skipped})


def _initials(person: Object) -> str:
    return "".join(str(person[name])[0] for name in ("first_name", "last_name"))


def _ids(name: str, given: JSON) -> list[JSON]:
    if not isinstance(given, list):
        raise Rejected({name: [f'Expected a list of items but got type "{type(given).__name__}".']})
    try:
        return [Integer().clean(each) for each in given]
    except Invalid as exc:
        raise Rejected({name: exc.messages}) from None


def _roles(given: JSON) -> dict[JSON, JSON]:
    found: dict[JSON, JSON] = {}
    for each in given if isinstance(given, list) else []:
        if not isinstance(each, dict) or str(each.get("role")) not in _ROLES:
            raise Rejected({"roles": ["This is not a valid choice."]})
        found.update(dict.fromkeys(_ids("roles", [each.get("user_id")]), each["role"]))
    return found
