"""The gallery of labelling interfaces, `GET /api/templates/`.

The answer has the form of Label Studio Community 1.23.2 (a list of templates without ids, and one of groups). Its entries
have the names of a few of the real server's 69, and content of the sandbox's own.
"""

from label_studio_sandbox._json import Object
from label_studio_sandbox.calls import Answer, Call

_LANGUAGE, _VISION = "Natural Language Processing", "Computer Vision"

_ENTRIES: tuple[tuple[str, str, str], ...] = (
    (
        _LANGUAGE,
        "Text Classification",
        '<View>\n  <Text name="text" value="$text"/>\n  <Choices name="sentiment" toName="text" choice="single">\n'
        '    <Choice value="Positive"/>\n    <Choice value="Negative"/>\n    <Choice value="Neutral"/>\n'
        "  </Choices>\n</View>",
    ),
    (
        _LANGUAGE,
        "Named Entity Recognition",
        '<View>\n  <Labels name="label" toName="text">\n    <Label value="PER" background="red"/>\n'
        '    <Label value="ORG" background="darkorange"/>\n    <Label value="LOC" background="orange"/>\n'
        '  </Labels>\n  <Text name="text" value="$text"/>\n</View>',
    ),
    (
        _VISION,
        "Image Classification",
        '<View>\n  <Image name="image" value="$image"/>\n  <Choices name="choice" toName="image">\n'
        '    <Choice value="Adult content"/>\n    <Choice value="Weapons"/>\n    <Choice value="Violence"/>\n'
        "  </Choices>\n</View>",
    ),
    (
        _VISION,
        "Object Detection with Bounding Boxes",
        '<View>\n  <Image name="image" value="$image"/>\n  <RectangleLabels name="label" toName="image">\n'
        '    <Label value="Airplane" background="green"/>\n    <Label value="Car" background="blue"/>\n'
        "  </RectangleLabels>\n</View>",
    ),
)


def list_gallery(call: Call) -> Answer:
    """Every entry, whatever the query."""
    templates: list[Object] = [
        {"config": config, "details": "", "group": group, "image": "", "title": title, "type": "community"}
        for group, title, config in _ENTRIES
    ]
    return Answer({"templates": list(templates), "groups": [_LANGUAGE, _VISION]})
