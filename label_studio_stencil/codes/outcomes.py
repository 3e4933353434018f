"""Codes of rows that Label Studio did not let become projects, and of projects that `stencil remove` keeps."""

from label_studio_stencil.codes.model import Code

OUTCOMES = (
    Code(
        code="rejected",
        title="Label Studio rejected the request.",
        why="It answered with a 4xx and a reason, which the message quotes. Stencil doesn't repeat such a request.",
        example="The token may not create projects in this workspace (403).",
        remedy="Correct what the reason names, then run `failed.csv` or the whole sheet again.",
    ),
    Code(
        code="setting-not-kept",
        title="The project was made, but Label Studio did not keep a setting.",
        why="Stencil reads the project back and compares it with the row. A server that ignores or changes a value "
        "is an error, not a success.",
        example="Your subscription to the vendor's cloud doesn't include the setting `review_settings`.",
        remedy="Set it by hand, or remove it from the row and run the sheet again with `--mode update`.",
    ),
    Code(
        code="step-failed",
        title="The project was made, but a step after it failed.",
        why="Members, tasks, publication and pins follow once the project is set up. The message quotes the reason "
        "of the first one that failed.",
        example="Label Studio could not import the file of tasks.",
        remedy="Correct the cause and run the sheet again. The run continues with the missing steps.",
    ),
    Code(
        code="gave-up",
        title="Every attempt at the row failed.",
        why="Stencil tries a row a limited number of times. If the outcome is `ambiguous`, the message names "
        "projects that may be the row's.",
        example="Label Studio answered 502 for minutes to requests of this row, but not to others.",
        remedy="Run the sheet again. It continues from what exists and makes no duplicates.",
    ),
    Code(
        code="unanswered",
        title="A request was sent, and Label Studio did not answer.",
        why="The project may exist. Label Studio was still unavailable after `--longest-outage` seconds, so Stencil "
        "couldn't check. `stencil remove` reports this code for a deletion that was not answered.",
        example="Label Studio was shut down in the middle of the batch.",
        remedy="Run the sheet, or the removal, again once Label Studio answers.",
    ),
    Code(
        code="never-seen",
        title="Stencil asked for the project several times, but got no answer and saw no project.",
        why="The requests may have been lost on their way, or Label Studio may carry them out later. Another one could "
        "make a duplicate.",
        example="A proxy accepts requests and drops them.",
        remedy="Search for the title in Label Studio. If there is no such project after some minutes, run the sheet "
        "again.",
    ),
    Code(
        code="stopped",
        title="The batch stopped before the row was done.",
        why="It was cancelled or interrupted, `--max-failures` was reached, the token was rejected, or Label Studio "
        "stayed unavailable. The message says which of these happened, and whether a placeholder was left.",
        example="Somebody pressed Ctrl-C.",
        remedy="Run the sheet again. Placeholders are completed, and the other rows follow.",
    ),
    Code(
        code="twins",
        title="Several projects have the title and workspace of the row.",
        why="Stencil deletes a surplus project only if it can prove that it made the project and that another one is "
        "equal. Otherwise, it leaves the choice to you.",
        example="Somebody made two projects of the same title by hand.",
        remedy="Keep one, and delete or rename the others. Then run the sheet again.",
    ),
    Code(
        code="touched",
        title="Somebody changed a placeholder of the row.",
        why="A project that was not set up yet has tasks, is archived, or has an edited marker. Stencil leaves it alone.",
        example="A colleague imported tasks into a placeholder that a killed batch had left.",
        remedy="Keep the project and set it up by hand, or delete or rename it and run the sheet again.",
    ),
    Code(
        code="lookalike",
        title="An existing project has a different title that looks the same.",
        why="The titles differ only in case, spacing, invisible characters or forms of letters. The row probably means "
        "that project.",
        example="The title of an existing project `Reviews January` has a no-break space.",
        remedy="Rename the project, change the title of the row, or use `--allow-lookalikes`.",
    ),
    Code(
        code="renamed",
        title="The project was renamed or moved in the meantime.",
        why="The project that the batch works on no longer has the title or workspace of the row. Stencil leaves it alone.",
        example="A colleague renamed a placeholder.",
        remedy="Look at the project that the message names. Run the sheet again to make one with the row's title.",
    ),
    Code(
        code="removed",
        title="The project was deleted while the batch ran.",
        why="Somebody, or another batch, deleted it while or after the batch made it.",
        example="A colleague cleans up projects without tasks.",
        remedy="Ask who else works here, then run the sheet again.",
    ),
    Code(
        code="not-ours",
        title="Stencil can't prove that the project is its own.",
        why="A project that would have to be deleted was made by another user or changed by hand. Stencil deletes only "
        "what is provably its own.",
        example="The removal uses a different user's token than the batch.",
        remedy="Look at the project, and delete it by hand if nobody needs it. For a removal, use the token of "
        "the batch.",
    ),
    Code(
        code="mark-not-kept",
        title="Label Studio did not keep the description of a new project.",
        why="The description marks projects that are not set up yet. Without it, Stencil can't complete them after a "
        "crash, so the whole batch stops.",
        example="A proxy or a plugin removes the description from requests.",
        remedy="Delete the project that the message names. Find out what removes descriptions before you run the "
        "sheet again.",
    ),
)

REMOVAL = (
    Code(
        code="not-created",
        title="The batch did not create this project.",
        why="Only rows whose outcome is `created` are removed. A project that existed before belongs to somebody.",
        example="The outcome of the row is `exists` or `updated`.",
        remedy="Delete the project by hand if you want it gone.",
    ),
    Code(
        code="no-project",
        title="The row of the results doesn't name one project.",
        why="`project_id` and `project_url` are empty, or name two different projects.",
        example="The results were edited in a spreadsheet program.",
        remedy="Use `results.csv` as the batch wrote it.",
    ),
    Code(
        code="moved",
        title="The project is in another workspace now.",
        why="Somebody moved it, so somebody may need it.",
        example="A lead moved the project to `Production`.",
        remedy="Delete it by hand if nobody needs it.",
    ),
    Code(
        code="younger",
        title="The project was created after the results were written.",
        why="It has the id and the title of the row, but it can't be the batch's: Label Studio was reset, or the "
        "results are from another Label Studio.",
        example="A test server was set up anew.",
        remedy="Check which Label Studio the results are from.",
    ),
    Code(
        code="has-work",
        title="The project holds somebody's work.",
        why="`stencil remove` deletes no annotations, drafts, comments or tasks except those that the batch imported.",
        example="Somebody annotated a task, or imported tasks into a project whose row names no tasks.",
        remedy="Delete it by hand if nobody needs the work.",
    ),
    Code(
        code="other-tasks",
        title="The tasks of the project are not those that the row's file holds.",
        why="Tasks, annotations or predictions were added, edited or deleted, or the file was changed since the batch "
        "imported it.",
        example="Somebody imported further tasks.",
        remedy="Restore the file as it was imported, or delete the project by hand if nobody needs its tasks.",
    ),
    Code(
        code="work-unknown",
        title="Label Studio doesn't say how many tasks the project holds.",
        why="Without the number, Stencil can't rule out that there is work in it.",
        example="A proxy removes fields from answers.",
        remedy="Look at the project, and delete it by hand.",
    ),
    Code(
        code="marked",
        title="The project is a placeholder.",
        why="It is not set up yet, and another batch may be about to complete it.",
        example="The batch was killed, and its sheet was not run again.",
        remedy="Run the sheet again, then run `stencil remove` with the results of that run too.",
    ),
    Code(
        code="description-unknown",
        title="Label Studio doesn't show the description of the project.",
        why="Without it, Stencil can't tell whether the project is a placeholder or was changed.",
        example="A proxy removes fields from answers.",
        remedy="Look at the project, and delete it by hand.",
    ),
    Code(
        code="changed",
        title="The project was changed, or its template was.",
        why="A setting or the description differs from the row and its template. Somebody may have worked on it.",
        example="A lead wrote instructions.",
        remedy="Delete it by hand if nobody needs the change.",
    ),
    Code(
        code="throttled",
        title="Label Studio kept the removal waiting.",
        why="It answered 429 each time, or other requests took so long that Stencil's reading of the project was out of "
        "date.",
        example="Another batch uses up the rate limit.",
        remedy="Run the removal again later.",
    ),
)
