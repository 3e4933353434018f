"""The sandbox's memory, by itself."""

import pytest

from label_studio_sandbox import Store


class Interrupted(Exception):
    """Something that happens between two writes."""


def interrupted(store: Store) -> None:
    with store.transaction():
        store.add("workspaces", {"title": "Half"})
        raise Interrupted


def test_a_transaction_that_is_interrupted_leaves_nothing() -> None:
    with Store() as store:
        with pytest.raises(Interrupted):
            interrupted(store)
        assert store.all("workspaces") == []


def test_ids_are_given_out_in_order_whatever_the_order_of_the_commits() -> None:
    with Store() as store:
        assert [store.reserve_project_id() for _ in range(3)] == [1, 2, 3]
