"""What projects are made from: template references of every kind, and what they resolve to.

| reference | what | editions |
|---|---|---|
| `12`, `Sentiment v2` | a project template on the studio, by id or name | Enterprise |
| `project:17`, `project:Gold standard` | an existing project's settings and labelling interface | both |
| `gallery:Named Entity Recognition` | a labelling interface that the studio brings | both |
| `file:ner.yaml`, `ner.yaml`, a URL | a template as code | both |
"""

from stencil.templates.files import exported, from_anywhere, is_file, read_template
from stencil.templates.model import Template
from stencil.templates.resolving import community_problem, resolve_templates
from stencil.templates.variables import Variable

__all__ = [
    "Template",
    "Variable",
    "community_problem",
    "exported",
    "from_anywhere",
    "is_file",
    "read_template",
    "resolve_templates",
]
