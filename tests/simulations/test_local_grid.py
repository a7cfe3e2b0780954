"""The local grid behaves like a wire: isolated sides, errors as replies, sites that run when their reply is pulled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict

from simulations.errors import InputInvalid
from simulations.local_grid import LocalGrid

pytestmark = pytest.mark.usefixtures("task_identity")


def ask(node_id: int, **values: Any) -> Message:
    return Message(RecordDict({"request": ConfigRecord(values)}), node_id, MessageType.TRAIN)


def echo(message: Message, context: Context) -> Message:
    return Message(message.content, reply_to=message)


def test_a_site_runs_when_its_reply_is_pulled_and_not_before() -> None:
    ran: list[str] = []

    def site(message: Message, context: Context) -> Message:
        ran.append(context.node_config["site"])
        return echo(message, context)

    grid = LocalGrid({"north": site, "south": site})
    message_ids = grid.push_messages([ask(1), ask(2)])
    assert ran == []
    replies = iter(grid.pull_messages(message_ids))
    next(replies)
    assert ran == ["north"]
    next(replies)
    assert ran == ["north", "south"]
    assert list(grid.pull_messages(message_ids)) == []  # a reply is taken once


def test_neither_side_can_reach_into_the_other_s_message() -> None:
    kept: list[Message] = []

    def site(message: Message, context: Context) -> Message:
        message.content["request"]["number"] = 2
        kept.append(Message(message.content, reply_to=message))
        return kept[0]

    grid = LocalGrid({"north": site})
    sent = ask(1, number=1)
    (reply,) = grid.send_and_receive([sent])
    kept[0].content["request"]["number"] = 3
    assert sent.content["request"]["number"] == 1
    assert reply.content["request"]["number"] == 2


def test_arrays_are_isolated_too_though_their_bytes_are_shared() -> None:
    def site(message: Message, context: Context) -> Message:
        message.content["alignment/ct"]["w"].data = b"spoilt"
        del message.content["alignment/ct"]["v"]
        return echo(message, context)

    arrays = ArrayRecord({name: Array(np.ones(3, dtype=np.float32)) for name in "wv"})
    sent = Message(RecordDict({"alignment/ct": arrays}), 1, MessageType.TRAIN)
    (reply,) = LocalGrid({"north": site}).send_and_receive([sent])
    np.testing.assert_array_equal(sent.content["alignment/ct"]["w"].numpy(), 1.0)
    assert set(sent.content["alignment/ct"]) == {"w", "v"}
    assert reply.content["alignment/ct"]["w"].data == b"spoilt"


def test_a_site_that_raises_answers_with_flower_s_error_and_the_others_go_on() -> None:
    def broken(message: Message, context: Context) -> Message:
        raise RuntimeError("slice")

    grid = LocalGrid({"north": broken, "south": echo})
    failed, fine = grid.send_and_receive([ask(1), ask(2)])
    assert failed.has_error()
    assert failed.error.code == 2
    assert "RuntimeError" in str(failed.error.reason)
    assert not fine.has_error()
    assert failed.metadata.reply_to_message_id != fine.metadata.reply_to_message_id


def test_the_error_code_is_flower_s() -> None:
    from flwr.common.constant import ErrorCode

    from simulations.local_grid import CLIENT_APP_RAISED

    assert CLIENT_APP_RAISED == ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def test_each_site_keeps_its_own_context_between_messages() -> None:
    def count(message: Message, context: Context) -> Message:
        record = context.state.setdefault("count", ConfigRecord({"calls": 0}))
        record["calls"] += 1
        return Message(RecordDict({"reply": ConfigRecord({"calls": record["calls"]})}), reply_to=message)

    grid = LocalGrid({"north": count, "south": count})
    calls = [next(iter(grid.send_and_receive([ask(node)]))).content["reply"]["calls"] for node in (1, 1, 2)]
    assert calls == [1, 2, 1]


def test_nodes_have_the_names_and_configurations_that_they_were_given() -> None:
    contexts: list[Context] = []

    def site(message: Message, context: Context) -> Message:
        contexts.append(context)
        return echo(message, context)

    grid = LocalGrid({"north": site, "south": site}, node_configs={"south": {"dir": "/d"}}, run_config={"a": 1})
    assert [(node.node_id, node.name) for node in grid.get_nodes()] == [(1, "north"), (2, "south")]
    list(grid.send_and_receive([ask(1), ask(2)]))
    assert contexts[0].node_config == {"site": "north", "partition-id": 0}
    assert contexts[1].node_config == {"site": "south", "partition-id": 1, "dir": "/d"}
    assert contexts[1].run_config == {"a": 1}
    with pytest.raises(InputInvalid, match="east"):
        LocalGrid({"north": site}, node_configs={"east": {}})


def test_the_clock_counts_what_sites_take_and_nothing_else() -> None:
    import time

    def slow(message: Message, context: Context) -> Message:
        time.sleep(0.05)
        return echo(message, context)

    grid = LocalGrid({"north": slow, "south": echo})
    message_ids = grid.push_messages([ask(1), ask(2)])
    time.sleep(0.05)
    list(grid.pull_messages(message_ids))
    assert 0.05 <= grid.seconds_by_site["north"] < 0.1 + grid.seconds_by_site["south"] + 5
    assert grid.seconds_by_site["south"] < 0.05
    assert grid.site_seconds == sum(grid.seconds_by_site.values())


def test_a_grid_works_outside_flower_s_own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, None)
    grid = LocalGrid({"north": echo})
    assert len(list(grid.send_and_receive([ask(1)]))) == 1
