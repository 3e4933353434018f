"""Codes of problems with a sheet as a whole, its columns, and lines that can't be read as rows."""

from label_studio_stencil.codes.model import Code

SHEETS = (
    Code(
        code="empty-sheet",
        title="The sheet has no rows.",
        why="Stencil found a header, or nothing at all. A file that is still being written looks like this too.",
        sheet="title,workspace",
        remedy="Add a row below the header. In a workbook, check that `--worksheet` names the right worksheet.",
    ),
    Code(
        code="unreadable",
        title="The file can't be read as a sheet.",
        why="In an inbox, `problems.csv` has this code for a file that Stencil can't read as a sheet, because its format, "
        "encoding or size is not supported. `stencil remove` reports it for a row of the results that can't be read.",
        example="A PDF was uploaded to the inbox.",
        remedy="Read the message, which names the cause. Save the sheet as CSV in UTF-8, or as `.xlsx`.",
    ),
    Code(
        code="too-many-problems",
        title="The sheet has more than 100,000 problems.",
        why="Stencil stops checking at that point. There is usually a single cause, such as the wrong file or separator.",
        example="A sheet of 200,000 rows has a word in each cell of `maximum_annotations`.",
        remedy="Fix the problems that are listed, then check the sheet again.",
    ),
    Code(
        code="column-missing",
        title="A required column is missing.",
        why="Each row needs a title. It comes from the column `title`, from the pattern `--title`, or from a "
        "template file with a title. Stencil also reports this code if the pattern uses a column that the sheet doesn't have.",
        sheet="name,color\nReviews January,#1F6FEB",
        remedy="Add the column or correct its name. If there are headings above the header, remove them.",
    ),
    Code(
        code="duplicate-column",
        title="Two columns have the same meaning.",
        why="Case, spaces, hyphens and underscores in column names don't matter, so the columns below are the same "
        "setting.",
        sheet="title,show_instruction,Show Instruction\nReviews January,yes,no",
        remedy="Remove or rename one of the columns.",
    ),
    Code(
        code="unknown-column",
        title="A column is neither one of Stencil's columns nor a project setting.",
        why="Otherwise, a typing error would leave a setting out of all projects. Stencil also rejects columns of a report "
        "(`outcome`, `error`) and the index of a DataFrame.",
        sheet="title,colour\nReviews January,#1F6FEB",
        remedy="Correct the name. To copy the column to the results, start its name with `_`. If your Label Studio has a "
        "setting that Stencil doesn't know, use `--allow-unknown-fields`.",
    ),
    Code(
        code="extra-cell",
        title="A row has more cells than the header.",
        why="A separator inside an unquoted cell moves all cells after it into the wrong columns.",
        sheet="title,description\nReviews January,good, bad and ugly",
        remedy='Put cells that contain separators into quotes: `"good, bad and ugly"`. If a column name is missing, add '
        "it.",
    ),
    Code(
        code="unclosed-quote",
        title="A quoted cell has no closing quote.",
        why="Everything after the quote, line breaks included, would belong to the cell.",
        sheet='title,description\nReviews January,"good\nReviews February,bad',
        remedy="Add the closing quote. Write a quote inside a quoted cell twice.",
    ),
    Code(
        code="bad-quote",
        title="A quoted cell continues after its closing quote.",
        why="The cell can be read in more than one way.",
        sheet='title,description\nReviews January,"good" reviews',
        remedy='Write a quote inside a quoted cell twice: `"""good"" reviews"`.',
    ),
    Code(
        code="nul-character",
        title="A cell holds a NUL character.",
        why="No Label Studio accepts it. It often means that a file in UTF-16 was read as another encoding.",
        example="A database export wrote a binary field into the column `description`.",
        remedy="Remove the character, or save the sheet as UTF-8.",
    ),
    Code(
        code="cell-too-large",
        title="A cell is larger than 10 MB.",
        why="Such a cell is usually a quote that was never closed.",
        example="A quote is missing on line 2 of a file of 80 MB.",
        remedy="Close the quote. Put large texts into files and name them with `@path`.",
    ),
    Code(
        code="formula-error",
        title="A cell shows the error of a formula.",
        why="`#REF!`, `#N/A` and the like mean that the spreadsheet program could not compute the value.",
        sheet="title,description\nReviews January,#REF!",
        remedy="Fix the formula in the spreadsheet program and save again, or empty the cell.",
    ),
    Code(
        code="formula-unsaved",
        title="A cell has a formula without a saved value.",
        why="Stencil doesn't compute formulas; it reads the value that the spreadsheet program saved. Workbooks "
        "written by "
        "a script have none.",
        example='A script wrote `="Reviews "&A2` into the column `title` with openpyxl.',
        remedy="Open the workbook in a spreadsheet program and save it, or write the value itself.",
    ),
    Code(
        code="missing-value",
        title="A cell holds a word that programs write for a missing value.",
        why="`NaN`, `None`, `null`, `NA` and the like usually come from an export. Stencil doesn't guess whether the "
        "text is meant.",
        sheet="title,description\nReviews January,NaN",
        remedy="Empty the cell. If the word is meant, set it in the column `overrides`.",
    ),
    Code(
        code="not-a-row",
        title="A line of JSON Lines, or an item of a JSON list, is not an object.",
        why="Each row must be an object that maps column names to values.",
        sheet='{"title": "Reviews January"}\n["Reviews February"]',
        remedy="Write each row as an object, or remove the item.",
    ),
)
