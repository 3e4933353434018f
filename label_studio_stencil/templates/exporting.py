"""Writes a template file that makes projects with given settings."""

from collections.abc import Mapping

import yaml

from label_studio_stencil.json_value import JSON
from label_studio_stencil.problems import Problem
from label_studio_stencil.rows.fields import FIELDS as OVERRIDABLE
from label_studio_stencil.rows.payload import parse_overrides
from label_studio_stencil.templates.rendering import FIELDS, literal
from label_studio_stencil.templates.yaml_text import Readable

#: Settings that have a meaning on one server only.
_OF_ITS_SERVER = frozenset({"organization", "workspace"})


def exported(name: str, fields: Mapping[str, JSON], description: str) -> str:
    """The YAML of a template file that makes a project with these settings."""
    content: dict[str, object] = {"name": name}
    if description:
        content["description"] = literal(description)
    # In the order of the model, so that two exports can be compared.
    for key, value in ((key, fields[key]) for key in OVERRIDABLE if key in fields):
        known = None if key in _OF_ITS_SERVER or _is_derived(key, value) else _settable(key, value)
        if known is not None:
            # An interface without variables is not rendered.
            as_is = key == "label_config" and "{%" not in str(known)
            content[key] = literal(known) if key in FIELDS and isinstance(known, str) and not as_is else known
    return yaml.dump(content, Dumper=Readable, sort_keys=False, allow_unicode=True, width=1000)


def left_out(fields: Mapping[str, JSON]) -> list[str]:
    """What is wrong with the settings that `exported` leaves out because no project takes their values."""
    whole = {key: value for key, value in fields.items() if key in OVERRIDABLE and not isinstance(value, dict)}
    return [
        problem.message
        for key, value in whole.items()
        if key not in _OF_ITS_SERVER and value not in ("", [])
        for problem in _problems_of(key, value)
    ]


def _is_derived(name: str, value: JSON) -> bool:
    """Whether a setting is the server's default for the labelling interface: all weights are 1."""
    if name != "control_weights" or not isinstance(value, dict):
        return False
    controls = [control for control in value.values() if isinstance(control, dict)]
    labels = [control.get("labels") for control in controls]
    weights = [control.get("overall") for control in controls]
    weights += [weight for each in labels if isinstance(each, dict) for weight in each.values()]
    return all(weight == 1 for weight in weights)


def _settable(name: str, value: JSON) -> JSON:
    """A setting without the read-only parts; `None` if nothing else is left."""
    if not isinstance(value, dict):
        return None if _problems_of(name, value) else value
    known = {key: value[key] for key in sorted(value) if not _problems_of(name, {key: value[key]})}
    return known or None


def _problems_of(name: str, value: JSON) -> list[Problem]:
    return parse_overrides({name: value}, line=None, allow_unknown=False)[1]
