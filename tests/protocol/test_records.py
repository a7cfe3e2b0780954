"""Messages keep their meaning through Flower's own serialisation, and what does not parse quotes nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from flwr.app import Array as WireArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto

from protocol import records
from protocol.codec import AsSent
from protocol.codes import Code
from protocol.digests import digest_group, digest_inputs
from protocol.errors import MalformedMessage, MessageTooLarge
from protocol.requests import DescribeRequest, SiteDescription, TrainReply, TrainRequest

RNG = np.random.default_rng(3)
GROUP = {"alignment.xray.head.weight": RNG.standard_normal((4, 3)).astype(np.float32), "b": np.zeros((), np.float32)}
REQUEST = TrainRequest(
    study_digest="d" * 64,
    stage="align",
    round_number=3,
    trains=("alignment/xray",),
    reads={"alignment/xray": digest_group(AsSent(GROUP))},
    groups={"alignment/xray": GROUP},
    release_grid_seconds=0.5,
)
REPLY = TrainReply(
    code=Code.OK,
    site="north",
    inputs_digest=REQUEST.inputs_digest,
    incident="",
    updates={"alignment/xray": GROUP},
    event_digest="e" * 64,
    metrics={"epsilon_spent": 1.25},
)


def through_the_wire(record: RecordDict) -> RecordDict:
    return recorddict_from_proto(recorddict_to_proto(record))


def test_a_request_arrives_under_the_name_it_was_sent_by() -> None:
    back = records.train_request_from_record(
        through_the_wire(records.train_request_to_record(REQUEST)), max_bytes=10_000
    )
    assert digest_group(back.groups["alignment/xray"]) == REQUEST.reads["alignment/xray"]
    assert back.inputs_digest == REQUEST.inputs_digest
    assert (back.trains, back.stage, back.round_number, back.release_grid_seconds) == (
        ("alignment/xray",),
        "align",
        3,
        0.5,
    )


def test_a_reply_survives_the_wire_within_the_codec() -> None:
    record = through_the_wire(records.reply_to_record(REPLY))
    assert set(record) == {"reply", "metrics", "alignment/xray"}
    back = records.reply_from_record(record, max_bytes=10_000)
    np.testing.assert_allclose(
        back.updates["alignment/xray"]["alignment.xray.head.weight"], GROUP["alignment.xray.head.weight"], atol=0.06
    )
    assert (back.code, back.site, back.metrics, back.event_digest) == (
        Code.OK,
        "north",
        {"epsilon_spent": 1.25},
        "e" * 64,
    )


def test_an_introduction_survives_the_wire() -> None:
    asked = records.describe_request_from_record(
        through_the_wire(records.describe_request_to_record(DescribeRequest(study_digest="s")))
    )
    assert asked.study_digest == "s"
    answer = SiteDescription(site="north", versions={"fedm2g": "1"}, groups_held={"alignment/ct": "x"}, studies=("s",))
    assert records.description_from_record(through_the_wire(records.description_to_record(answer))) == answer
    nothing = SiteDescription(site="north")
    assert records.description_from_record(through_the_wire(records.description_to_record(nothing))) == nothing


def test_the_same_inputs_name_the_same_round_and_other_inputs_another() -> None:
    base = {"study_digest": "s", "stage": "align", "round_number": 1, "reads": {"a": "1", "b": "2"}}
    assert digest_inputs(**base) == digest_inputs(**base | {"reads": {"b": "2", "a": "1"}})
    for change in ({"study_digest": "t"}, {"stage": "guide"}, {"round_number": 2}, {"reads": {"a": "1", "b": "3"}}):
        assert digest_inputs(**base | change) != digest_inputs(**base)


def broken(**changes: object) -> RecordDict:
    record = records.reply_to_record(REPLY)
    for name, value in changes.items():
        if value is None:
            del record["reply"][name]
        else:
            record["reply"][name] = value
    return record


@pytest.mark.parametrize(
    "record",
    [
        RecordDict(),
        RecordDict({"reply": MetricRecord({"code": 1})}),
        broken(code=None),
        broken(code="patient-4711"),
        broken(site=3),
        broken(missing="not a list"),
        broken(incident="x" * 5000),
        RecordDict(dict(records.reply_to_record(REPLY)) | {"metrics": MetricRecord({"loss": [1.0, 2.0]})}),
        RecordDict(dict(records.reply_to_record(REPLY)) | {"metrics": ConfigRecord({"loss": "text"})}),
        RecordDict(dict(records.reply_to_record(REPLY)) | {"g": ArrayRecord([np.ones(3)])}),
        RecordDict(
            dict(records.reply_to_record(REPLY))
            | {"g": ArrayRecord({"packed": WireArray(dtype="uint8", shape=(4,), stype="numpy.ndarray", data=b"1234")})}
        ),
    ],
)
def test_a_reply_that_does_not_parse_is_malformed_and_quotes_nothing(record: RecordDict) -> None:
    with pytest.raises(MalformedMessage) as raised:
        records.reply_from_record(record, max_bytes=10_000)
    assert "4711" not in str(raised.value)


def test_a_reply_over_the_limit_is_refused_over_all_its_groups_together() -> None:
    half = {"w": np.zeros(600, dtype=np.float32)}
    reply = TrainReply(code=Code.OK, site="north", inputs_digest="i", updates={"a/x": half, "b/x": half})
    record = records.reply_to_record(reply)
    assert records.reply_from_record(record, max_bytes=2000).updates.keys() == {"a/x", "b/x"}
    with pytest.raises(MessageTooLarge):
        records.reply_from_record(record, max_bytes=1000)


def test_a_group_digest_sees_name_shape_dtype_and_value() -> None:
    base = {"w": np.arange(6, dtype=np.float32)}
    others = [
        {"v": base["w"]},
        {"w": base["w"].reshape(2, 3)},
        {"w": base["w"].astype(np.float64)},
        {"w": base["w"] + np.float32(1e-6)},
        base | {"x": base["w"]},
    ]
    digests = [digest_group(group) for group in [base, *others]]
    assert len(set(digests)) == len(digests)
    assert digest_group({"w": np.arange(12, dtype=np.float32)[::2]}) == digest_group(
        {"w": np.arange(0, 12, 2, dtype=np.float32)}
    )


def test_importing_the_protocol_imports_no_torch() -> None:
    program = "import sys, protocol.records, protocol.study, protocol.groups; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
