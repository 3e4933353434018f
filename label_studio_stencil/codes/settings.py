"""Codes of problems with overrides: which settings they name, and the values."""

from label_studio_stencil.codes.model import Code

SETTINGS = (
    Code(
        code="unknown-field",
        title="There is no project setting with this name.",
        why="Otherwise, a typing error would leave the setting out.",
        sheet='title,overrides\nReviews January,"{""colour"": ""#1F6FEB""}"',
        remedy="Correct the name. If your Label Studio has a setting that Stencil doesn't know, use "
        "`--allow-unknown-fields`.",
    ),
    Code(
        code="read-only-field",
        title="Label Studio computes this field, so it can't be set.",
        why="Ids, counts and creation dates come from the server.",
        sheet="title,task_number\nReviews January,100",
        remedy="Remove the column or key. To keep the value as a note, start the name of the column with `_`.",
    ),
    Code(
        code="row-field",
        title="The field is a column of its own, not an override.",
        why="`title`, `workspace` and `template` decide which project the row makes, so they can't be overridden.",
        sheet='title,overrides\nReviews January,"{""title"": ""Reviews February""}"',
        remedy="Move the value into the column of that name.",
    ),
    Code(
        code="conflicting-field",
        title="A column and the JSON object of the row disagree.",
        why="A setting has one value in its own column and another in `overrides`, or a variable has one value in "
        "`var.NAME` and another in `vars`.",
        sheet='title,color,overrides\nReviews January,#1F6FEB,"{""color"": ""#000000""}"',
        remedy="Keep one of the two values.",
    ),
    Code(
        code="null-value",
        title="A setting can't be null.",
        why="Label Studio answers some nulls with an internal error.",
        sheet='title,overrides\nReviews January,"{""color"": null}"',
        remedy="Leave the setting out to keep the value of the template.",
    ),
    Code(
        code="not-a-boolean",
        title="The value is neither true nor false.",
        why="Stencil reads true/false, yes/no, on/off and 1/0 in any case.",
        sheet="title,show_instruction\nReviews January,maybe",
        remedy="Write `true` or `false`.",
    ),
    Code(
        code="not-a-number",
        title="The value is not a number, or not a whole number.",
        why="Percent signs, thousands separators and decimal commas can be read in more than one way.",
        sheet="title,maximum_annotations\nReviews January,many",
        remedy="Write digits, with a point for decimals.",
    ),
    Code(
        code="too-precise",
        title="The number has more than two decimal places.",
        why="Label Studio would round it, and the project would differ from the row.",
        sheet="title,agreement_threshold\nReviews January,0.125",
        remedy="Round the number.",
    ),
    Code(
        code="out-of-range",
        title="The number is too small or too large.",
        why="Label Studio accepts the range that the message names.",
        sheet="title,maximum_annotations\nReviews January,0",
        remedy="Choose a number in the range.",
    ),
    Code(
        code="not-text",
        title="The value is not text.",
        why="The JSON has a list, an object or a null where Label Studio expects text.",
        sheet='title,overrides\nReviews January,"{""description"": [1]}"',
        remedy="Write the text in quotes.",
    ),
    Code(
        code="too-long",
        title="The text is too long.",
        why="The message says how many characters Label Studio accepts.",
        example="A `task_data_login` of 300 characters.",
        remedy="Shorten the text.",
    ),
    Code(
        code="control-character",
        title="The text holds a character that can't be sent.",
        why="PostgreSQL can't store a NUL, and an unpaired surrogate can't be encoded as UTF-8.",
        sheet=r'[{"title": "Reviews January", "description": "a\u0000b"}]',
        remedy="Remove the character.",
    ),
    Code(
        code="not-a-choice",
        title="The value is not one of those that the setting takes.",
        why="Label Studio accepts only the values that the message lists. Case doesn't matter.",
        sheet="title,sampling\nReviews January,Uniform",
        remedy="Choose one of the listed values.",
    ),
    Code(
        code="not-a-colour",
        title="The value is not a colour of the form #RRGGBB.",
        why="Label Studio doesn't accept colour names or the short form.",
        sheet="title,color\nReviews January,red",
        remedy="Write six hexadecimal digits, for example `#FF8800`.",
    ),
    Code(
        code="not-a-date",
        title="The value is not a date and time in ISO 8601.",
        why="Other forms, such as 03/04/2026, can be read in more than one way.",
        sheet="title,pinned_at\nReviews January,tomorrow",
        remedy="Write `2026-11-24T09:30:00Z`.",
    ),
    Code(
        code="bad-xml",
        title="The labelling interface is not well-formed XML, or has a DOCTYPE.",
        why="Label Studio rejects both. The message names the line and column.",
        sheet="title,label_config\nReviews January,<View>",
        remedy="Close the tag or escape the character (`&amp;`, `&lt;`), or remove the DOCTYPE.",
    ),
    Code(
        code="not-json",
        title="The value is not JSON.",
        why="The columns `overrides` and `vars`, and settings that are objects, take JSON.",
        sheet="title,overrides\nReviews January,{color: red}",
        remedy="Write names and texts in double quotes. In CSV, put the cell into quotes and double the quotes in it.",
    ),
    Code(
        code="not-an-object",
        title="The value is JSON, but not an object.",
        why="A list, text or number can't set anything by name.",
        sheet="title,overrides\nReviews January,3",
        remedy='Write an object, for example `{"maximum_annotations": 2}`.',
    ),
    Code(
        code="bad-object",
        title="A part of a settings object has the wrong type.",
        why="The message names the part.",
        sheet='title,control_weights\nReviews January,"{""sentiment"": 1}"',
        remedy="Correct the part. `stencil template show project:ID` prints the objects of an existing project as "
        "examples.",
    ),
    Code(
        code="unknown-key",
        title="A settings object has an unknown key.",
        why="Otherwise, a typing error would leave the setting out.",
        sheet='title,review_settings\nReviews January,"{""show_instructions"": true}"',
        remedy="Correct the key. If your Label Studio has a key that Stencil doesn't know, use "
        "`--allow-unknown-fields`.",
    ),
    Code(
        code="missing-key",
        title="A settings object lacks a required key.",
        why="Label Studio can't read the object without it.",
        sheet='title,control_weights\nReviews January,"{""sentiment"": {""overall"": 1}}"',
        remedy="Add the key that the message names.",
    ),
    Code(
        code="all-weights-zero",
        title="No control tag has a weight above zero.",
        why="Label Studio couldn't compute the agreement of annotators.",
        sheet="title,control_weights\nReviews January,{}",
        remedy="Give at least one control tag an `overall` weight above 0, or leave the setting out.",
    ),
)
