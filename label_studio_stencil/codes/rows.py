"""Codes of problems with titles, templates, workspaces, variables, steps and files."""

from label_studio_stencil.codes.model import Code

_FILES = {
    "ner.yaml": "label_config_file: ner.xml\ndescription: 'Contracts of {{ year }}'\nvariables:\n  year: {type: integer}",
    "ner.xml": '<View>\n  <Labels name="label" toName="text"><Label value="Party"/></Labels>\n'
    '  <Text name="text" value="$text"/>\n</View>',
}

TITLES = (
    Code(
        code="title-missing",
        title="The row has no title.",
        why="The title cell is blank, or a column that the title pattern needs is blank in this row.",
        sheet="title,color\n,#1F6FEB",
        remedy="Fill the cell. To leave the row out, delete the line.",
    ),
    Code(
        code="title-too-short",
        title="The title has fewer than 3 characters.",
        why="Label Studio requires at least 3 characters, not counting blanks at either end.",
        sheet="title\nab",
        remedy="Write a longer title.",
    ),
    Code(
        code="title-too-long",
        title="The title has more than 50 characters.",
        why="Label Studio accepts at most 50 characters.",
        sheet="title\nCustomer reviews of the first quarter of the year 2026",
        remedy="Shorten the title. `--long-titles cut` shortens titles and adds a hash, so that they stay different.",
    ),
    Code(
        code="title-not-text",
        title="The title is neither text nor a number.",
        why="Spreadsheets and JSON also have booleans, lists and dates. None of these can be a title.",
        sheet='[{"title": true}]',
        remedy="Write the title as text.",
    ),
    Code(
        code="title-control-character",
        title="The title holds a line break or another control character.",
        why="Titles are one line. The character U+FFFD, which stands for a lost letter, is rejected too: the sheet was "
        "saved or read in the wrong encoding.",
        sheet='title\n"Reviews\nJanuary"',
        remedy="Remove the character. For lost letters, export the sheet again as UTF-8.",
    ),
    Code(
        code="title-unseen-letter",
        title="The title holds an invisible character.",
        why="Titles that differ only in a zero-width space or a direction mark look the same, which leads to duplicates.",
        sheet="title\nReviews\u200b January",
        remedy="Type the title again instead of pasting it. The message names the position of the character.",
    ),
    Code(
        code="duplicate-row",
        title="Two rows ask for the same project.",
        why="A project is identified by its title and workspace, and each row makes exactly one.",
        sheet="title\nReviews January\nReviews January",
        remedy="Remove one of the rows, or change its title.",
    ),
    Code(
        code="near-duplicate-row",
        title="The titles of two rows differ only in case, spacing or the form of letters.",
        why="People can't tell such projects apart, and one of the rows is usually a mistake.",
        sheet="title\nReviews January\nreviews  january",
        remedy="Remove one of the rows, or choose a title that differs visibly.",
    ),
    Code(
        code="description-is-mark",
        title="The description looks like Stencil's own marker.",
        why="Stencil recognises projects that are not set up yet by a marker at the start of their description.",
        sheet="title,description\nReviews January,"
        "Being set up by Stencil. Please leave it alone: a rerun finishes or removes it.",
        remedy="Change the beginning of the description.",
    ),
)

TEMPLATES = (
    Code(
        code="bad-reference",
        title="The template or workspace is neither a name nor an id.",
        why="A reference is one line of at most 1,000 characters.",
        sheet='[{"title": "Reviews January", "workspace": [1, 2]}]',
        remedy="Write the id or the name.",
    ),
    Code(
        code="template-missing",
        title="Neither the row nor the batch names a template.",
        why="Each project is made from a template, unless the row has a `label_config` of its own.",
        example="The sheet has no column `template`, and `--template` is not given.",
        remedy="Fill the column `template`, or give `--template`.",
    ),
    Code(
        code="template-unknown",
        title="There is no template with this id or name.",
        why="The owner of the token can't see such a template in Label Studio, or the template file can't be opened.",
        sheet="title,template\nReviews January,Sentimental Analysis",
        remedy="`stencil template list` shows all templates. Check the name, or the path of the file, which is "
        "relative to the folder of the sheet.",
    ),
    Code(
        code="template-ambiguous",
        title="Several templates have this name.",
        why="Stencil doesn't choose one of them.",
        example="Two project templates are named `Sentiment Analysis`, with the ids 1 and 17.",
        remedy="Write the id instead of the name.",
    ),
    Code(
        code="template-invalid",
        title="The template file has an error.",
        why="The file is not YAML, has an unknown key, a wrong setting or a placeholder that can't be filled, or "
        "sets a field that Community doesn't have.",
        sheet="title,template\nReviews January,ner.yaml",
        files={"ner.yaml": "maximum_annotations: many"},
        remedy="Read the message, which names the key. `stencil template show FILE` checks a file by itself.",
    ),
    Code(
        code="workspace-missing",
        title="Neither the row nor the batch names a workspace.",
        why="On Label Studio Enterprise each project belongs to a workspace.",
        example="The sheet has no column `workspace`, and `--workspace` is not given.",
        remedy="Fill the column `workspace`, or give `--workspace`.",
    ),
    Code(
        code="workspace-unknown",
        title="There is no workspace with this id or name.",
        why="The name has a typing error, or the owner of the token is not a member of the workspace.",
        sheet="title,workspace\nReviews January,Customer Feedbacks",
        remedy="`stencil workspace list` shows the workspaces that the token can see.",
    ),
    Code(
        code="workspace-ambiguous",
        title="Several workspaces have this name.",
        why="Stencil doesn't choose one of them.",
        example="Two workspaces are named `Legal`, with the ids 3 and 8.",
        remedy="Write the id instead of the name.",
    ),
    Code(
        code="workspace-archived",
        title="The workspace is archived.",
        why="Nobody would find a new project there.",
        example="The row names a workspace that was archived after the sheet was written.",
        remedy="Name another workspace, or restore this one in Label Studio first.",
    ),
    Code(
        code="enterprise-only-template",
        title="Only Label Studio Enterprise has this template.",
        why="Community has no project templates, and some entries of its gallery need tags that only Enterprise has.",
        example="The row names the project template `Sentiment Analysis`, and the server is Community.",
        remedy="Use `gallery:NAME`, a template file or `project:ID`.",
    ),
    Code(
        code="enterprise-only-workspace",
        title="Only Label Studio Enterprise has workspaces.",
        why="Community would ignore the workspace without an error.",
        example="The row names a workspace, and the server is Community.",
        remedy="Empty the column `workspace`.",
    ),
    Code(
        code="enterprise-only-field",
        title="Only Label Studio Enterprise has this setting or step.",
        why="Community would ignore the setting without an error.",
        example="The row sets `review_settings` or names `members`, and the server is Community.",
        remedy="Leave the column out.",
    ),
    Code(
        code="variable-unknown",
        title="The template has no such variable.",
        why="Otherwise, a typing error would leave the variable at its default value.",
        sheet="title,template,var.year,var.customer\nContracts Alder,ner.yaml,2026,Alder",
        files=_FILES,
        remedy="Correct the name of the column. `stencil template show FILE` lists the variables.",
    ),
    Code(
        code="variable-missing",
        title="The row lacks a variable that its template needs.",
        why="The variable has no default value.",
        sheet="title,template\nContracts Alder,ner.yaml",
        files=_FILES,
        remedy="Fill the column `var.NAME`, or give the variable a `default` in the template file.",
    ),
    Code(
        code="variable-invalid",
        title="The variable can't have this value.",
        why="The value doesn't fit the variable's type, or is not one of its `choices`.",
        sheet="title,template,var.year\nContracts Alder,ner.yaml,soon",
        files=_FILES,
        remedy="Correct the value. `stencil template show FILE` lists types and choices.",
    ),
    Code(
        code="interface-refused",
        title="Label Studio rejects the labelling interface.",
        why="Before the first write, Stencil asks Label Studio to validate each distinct interface. The message "
        "quotes its reason.",
        sheet='title,label_config\nReviews January,"<View><Choices name=""c"" toName=""text""/></View>"',
        remedy="Correct the interface; `stencil template preview` prints it with the row's values. If the interface "
        "is correct, a firewall in front of Label Studio may have rejected it.",
    ),
)

STEPS = (
    Code(
        code="bad-step",
        title="A step can't be carried out as the row specifies it.",
        why="The cell of `members`, `tasks`, `publish` or `pin` is wrong: not an e-mail address, an unknown role, a file "
        "without tasks, or tasks that lack a field which the labelling interface shows.",
        sheet="title,publish\nReviews January,maybe",
        remedy="Correct the cell or the file; the message says what is expected.",
    ),
    Code(
        code="member-unknown",
        title="Label Studio has no user with this e-mail address.",
        why="Only people who are members of the organization can be added to a project.",
        sheet="title,members\nReviews January,nobody@example.com",
        remedy="Invite the person in Label Studio first, or correct the address.",
    ),
    Code(
        code="file-reference",
        title="A cell names a file, but the sheet has no folder.",
        why="`@path` is relative to the folder of the sheet. Pasted rows, standard input and DataFrames have none.",
        example="`cat sheet.csv | stencil create -` with a cell `@guide.md`.",
        remedy="Save the sheet to a folder, or put the text into the cell. To start a text with `@`, write `@@`.",
    ),
    Code(
        code="file-not-found",
        title="The file that a cell names doesn't exist.",
        why="`@path` is relative to the folder of the sheet.",
        sheet="title,expert_instruction\nReviews January,@guide.md",
        remedy="Correct the path, or put the file there. To start a text with `@`, write `@@`.",
    ),
    Code(
        code="file-unreadable",
        title="The file that a cell names can't be read.",
        why="The operating system or the store refuses it.",
        example="The file belongs to another user, or the cell names a folder.",
        remedy="Read the message, which quotes the reason. Check the permissions of the file.",
    ),
    Code(
        code="file-too-large",
        title="The file that a cell names is larger than 10 MB.",
        why="A setting is text that people read; a larger file is usually the wrong one.",
        example="`@tasks.json` in the column `description`.",
        remedy="Name the right file. Tasks belong in the column `tasks`.",
    ),
    Code(
        code="file-not-text",
        title="The file that a cell names is not UTF-8 text.",
        why="Settings are text. Files are read as UTF-8, as UTF-16, or in the encoding that their XML declaration names.",
        example="`@guide.docx` in the column `expert_instruction`.",
        remedy="Save the file as text in UTF-8.",
    ),
    Code(
        code="outside-folder",
        title="The file that a cell names is outside the folders that rows may open.",
        why="Rows may open files in the folder of the sheet and below it. Otherwise any sheet could read any file "
        "on the machine.",
        sheet="title,expert_instruction\nReviews January,@/etc/hostname",
        remedy="Move the file to the folder of the sheet, or allow its folder with `STENCIL_ALLOW`.",
    ),
)
