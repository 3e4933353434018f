"""What Label Studio says about tasks is passed on without the tasks."""

import pytest

from label_studio_stencil.labelstudio.reasons import reason_of


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(
            "Error at item 0: \"text\" key is expected in task data [assume: item as is = root]  :: {'txt': 'SECRET'}",
            'task 1 lacks "text", which the labelling configuration shows',
            id="a key that is missing",
        ),
        pytest.param(
            "[ErrorDetail(string='Error at item 4: \"text\" key is expected in task data :: \\'SECRET\\'', code='invalid')]",
            'task 5 lacks "text", which the labelling configuration shows',
            id="as a job writes it",
        ),
        pytest.param(
            "Error at item 1: data['text']=['SECRET'] is of type 'list', but the object tag Text expects ['str']",
            'task 2: "text" is of type list, which <Text> does not show',
            id="a wrong type",
        ),
        pytest.param(
            "Error at item 2: SECRET is of type 'x', but the object tag y expects",
            "task 3 was not accepted",
            id="an item",
        ),
        pytest.param('SECRET: "SECRET" key is expected in task data', "message is withheld", id="anything else"),
        pytest.param(
            "Task 0, prediction 1: 'SECRET' Error at item 1: \"SECRET\" key is expected in task data",
            "message is withheld",
            id="known words that are not at the beginning",
        ),
        pytest.param("", "message is withheld", id="nothing"),
    ],
)
def test_why_tasks_were_not_taken_is_told_without_the_tasks(words: str, told: str) -> None:
    reason = reason_of(words)
    assert told in reason
    assert "SECRET" not in reason
