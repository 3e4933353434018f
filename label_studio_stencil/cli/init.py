"""The command `init`: writes an example sheet, a template file and `.env.example` into the working folder."""

import argparse

from label_studio_stencil.cli.display import Display
from label_studio_stencil.files import write_new

FILES = {
    "projects.csv": """\
title,template,var.labels,maximum_annotations
Reviews January,template.yaml,,2
Reviews February,template.yaml,Positive;Negative;Mixed,
Reviews March,template.yaml,,3
""",
    "template.yaml": """\
# What the projects have in common: a labelling interface, and any project settings.
name: Reviews
description: "Reviews, judged as one of: {{ labels | join(', ') }}"
expert_instruction: Judge the review as a whole, not its first sentence.
show_instruction: true
label_config: |
  <View>
    <Text name="text" value="$text"/>
    <Choices name="judgement" toName="text" choice="single" showInLine="true">
    {%- for label in labels %}
      <Choice value="{{ label }}"/>
    {%- endfor %}
    </Choices>
  </View>
# A row sets a variable in a column of its own, such as var.labels.
variables:
  labels: {type: list, default: [Positive, Negative, Neutral]}
""",
    ".env.example": """\
# Which Label Studio `stencil` works on in this folder. Copy this file to .env, and keep .env out of version control.
# If the environment sets one of these variables, .env is ignored.
LABEL_STUDIO_URL=http://localhost:8080
# Account & Settings in Label Studio: a personal access token, or a legacy token.
LABEL_STUDIO_API_KEY=
""",
}

_NEXT = """
Try it on the embedded sandbox, which needs no Label Studio:
  stencil create projects.csv --sandbox --workspace "Customer Feedback"

Then copy .env.example to .env, write the address of your Label Studio and your token into it, and:
  stencil plan projects.csv
  stencil create projects.csv --output results

On Label Studio Enterprise, name a workspace: --workspace NAME, or a column `workspace`."""


def init(chosen: argparse.Namespace, display: Display) -> int:
    """Write the files that are not there yet, and show what to type next."""
    for name, text in FILES.items():
        display.say(
            f"Wrote {name}" if write_new(name, text.encode()) else f"{name} is there already, and was left alone"
        )
    display.say(_NEXT)
    return 0
