"""The messages in Flower's shape, exactly the wire of DESIGN.md §6, and back.

Request: {`request`: ConfigRecord, one ArrayRecord per group keyed `alignment/xray`}. Reply: {`reply`: ConfigRecord,
the same group keys, `metrics`}. Each ArrayRecord holds one Flower `Array`, the whole group in one piece (packing.py).
What does not parse raises MalformedMessage, which quotes nothing that came with it.
(Flower's message types import no torch; a test holds that.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from flwr.app import Array as WireArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from protocol.arrays import GroupArrays, Groups
from protocol.codec import GROUP_CODEC, UPDATE_CODEC, EncodedGroup, decode_update, encode_update
from protocol.codes import Code
from protocol.errors import MalformedMessage, MessageTooLarge
from protocol.packing import pack_group, unpack_group
from protocol.requests import DescribeRequest, SiteDescription, TrainReply, TrainRequest

REQUEST = "request"
REPLY = "reply"
METRICS = "metrics"
PACKED = "packed"
_STYPE = "fedm2g.group"  # so that nobody takes our bytes for a pickled or npy array
_MAX_LIST = 10_000


# --- who is who -------------------------------------------------------------------------------------------------------


def describe_request_to_record(request: DescribeRequest) -> RecordDict:
    """Who are you?"""
    return RecordDict({REQUEST: ConfigRecord({"study_digest": request.study_digest})})


def describe_request_from_record(record: RecordDict) -> DescribeRequest:
    """Raises MalformedMessage."""
    return DescribeRequest(study_digest=_text(_config(record, REQUEST), "study_digest"))


def description_to_record(description: SiteDescription) -> RecordDict:
    """I am this site."""
    config = ConfigRecord({"site": description.site, "studies": list(description.studies)})
    _put_pairs(config, "version", description.versions)
    _put_pairs(config, "group", description.groups_held)
    return RecordDict({REPLY: config})


def description_from_record(record: RecordDict) -> SiteDescription:
    """Raises MalformedMessage."""
    config = _config(record, REPLY)
    return SiteDescription(
        site=_text(config, "site"),
        versions=_pairs(config, "version"),
        groups_held=_pairs(config, "group"),
        studies=_texts(config, "studies"),
    )


# --- training ---------------------------------------------------------------------------------------------------------


def encode_groups(groups: Groups) -> dict[str, ArrayRecord]:
    """Groups as ArrayRecords; the server encodes each group once and shares the record among all messages."""
    return {name: _to_array_record(arrays, GROUP_CODEC) for name, arrays in groups.items()}


def train_request_to_record(request: TrainRequest, encoded: Mapping[str, ArrayRecord] | None = None) -> RecordDict:
    """Train this round. `encoded` replaces `request.groups` where the same groups go to several sites."""
    config = ConfigRecord(
        {
            "study_digest": request.study_digest,
            "stage": request.stage,
            "round_number": request.round_number,
            "trains": list(request.trains),
            "release_grid_seconds": request.release_grid_seconds,
        }
    )
    _put_pairs(config, "read", request.reads)
    record = RecordDict({REQUEST: config})
    for name, arrays in (encoded if encoded is not None else encode_groups(request.groups)).items():
        record[name] = arrays
    return record


def train_request_from_record(record: RecordDict, *, max_bytes: int) -> TrainRequest:
    """Raises MalformedMessage."""
    config = _config(record, REQUEST)
    round_number = config.get("round_number")
    grid = config.get("release_grid_seconds")
    if not isinstance(round_number, int) or not isinstance(grid, float | int):
        raise MalformedMessage("The request lacks a round number or a release grid.")
    return TrainRequest(
        study_digest=_text(config, "study_digest"),
        stage=_text(config, "stage"),
        round_number=round_number,
        trains=_texts(config, "trains"),
        reads=_pairs(config, "read"),
        groups=_groups(record, max_bytes=max_bytes),
        release_grid_seconds=float(grid),
    )


def reply_to_record(reply: TrainReply, *, codec: str = UPDATE_CODEC) -> RecordDict:
    """Here is my release, or why there is none. Raises MalformedMessage when an update is not finite."""
    config = ConfigRecord(
        {
            "code": str(reply.code),
            "site": reply.site,
            "inputs_digest": reply.inputs_digest,
            "incident": reply.incident,
            "missing": list(reply.missing),
            "event_digest": reply.event_digest,
        }
    )
    record = RecordDict({REPLY: config, METRICS: MetricRecord({k: float(v) for k, v in reply.metrics.items()})})
    for name, arrays in reply.updates.items():
        record[name] = _to_array_record(arrays, codec)
    return record


def reply_from_record(record: RecordDict, *, max_bytes: int) -> TrainReply:
    """Raises MalformedMessage, and MessageTooLarge before looking at anything of a reply that is too large.

    `updates` decode one tensor at every access, so that nobody holds a reply twice; that they can be decoded is checked
    here.
    """
    config = _config(record, REPLY)
    metrics = record.get(METRICS, MetricRecord())
    if not isinstance(metrics, MetricRecord) or any(isinstance(value, list) for value in metrics.values()):
        raise MalformedMessage("The reply's metrics are not single numbers.")
    return TrainReply(
        code=Code.read(_text(config, "code")),
        site=_text(config, "site"),
        inputs_digest=_text(config, "inputs_digest"),
        incident=_text(config, "incident"),
        updates=_groups(record, max_bytes=max_bytes, whole=False),
        missing=_texts(config, "missing"),
        event_digest=_text(config, "event_digest"),
        metrics={name: float(cast(float, value)) for name, value in metrics.items()},
    )


def record_bytes(record: RecordDict) -> int:
    """Bytes of all records of a message, names included, without the transport's framing. Never raises.

    (Flower's own `ConfigRecord.count_bytes` raises for an empty text.)
    """
    return sum(_value_bytes(value) + len(name) for part in record.values() for name, value in part.items())


def _value_bytes(value: object) -> int:
    if isinstance(value, WireArray):
        return len(value.data)
    if isinstance(value, list):
        return sum(_value_bytes(item) for item in value)
    return len(value) if isinstance(value, str | bytes) else 8  # numbers travel as 64 bits


# --- parts ------------------------------------------------------------------------------------------------------------


def _to_array_record(arrays: GroupArrays, codec: str) -> ArrayRecord:
    data = pack_group(encode_update(arrays, codec=codec))
    return ArrayRecord({PACKED: WireArray(dtype="uint8", shape=(len(data),), stype=_STYPE, data=data)})


def _groups(record: RecordDict, *, max_bytes: int, whole: bool = True) -> dict[str, GroupArrays]:
    """Every ArrayRecord of a message; sizes are summed over all of them before the first is looked at.

    whole: decoded at once, instead of tensor by tensor when asked.
    """
    groups = {name: part for name, part in record.items() if isinstance(part, ArrayRecord)}
    if record_bytes(RecordDict(groups)) > max_bytes:
        raise MessageTooLarge(f"The message is larger than the {max_bytes} bytes that the study allows.")
    return {name: _from_array_record(part, max_bytes=max_bytes, whole=whole) for name, part in groups.items()}


def _from_array_record(part: ArrayRecord, *, max_bytes: int, whole: bool) -> GroupArrays:
    array = part.get(PACKED)
    if array is None or len(part) != 1 or array.stype != _STYPE or tuple(array.shape) != (len(array.data),):
        raise MalformedMessage("A group is not packed as this contract says: install the same version on both sides.")
    encoded = unpack_group(array.data)
    return decode_update(encoded, max_bytes=max_bytes) if whole else EncodedGroup(encoded, max_bytes=max_bytes)


def _config(record: RecordDict, name: str) -> ConfigRecord:
    config = record.get(name)
    if not isinstance(config, ConfigRecord):
        raise MalformedMessage(f"The message has no `{name}` record: install the same version on both sides.")
    return config


def _text(config: ConfigRecord, name: str) -> str:
    value = config.get(name)
    if not isinstance(value, str) or len(value) > 1024:
        raise MalformedMessage(f"The field `{name}` is missing or not a short text.")
    return value


def _texts(config: ConfigRecord, name: str) -> tuple[str, ...]:
    value = config.get(name)
    if not isinstance(value, list) or len(value) > _MAX_LIST or not all(isinstance(text, str) for text in value):
        raise MalformedMessage(f"The field `{name}` is missing or not a list of texts.")
    return tuple(cast(list[str], value))


def _put_pairs(config: ConfigRecord, name: str, pairs: Mapping[str, str]) -> None:
    config[f"{name}_names"] = list(pairs)
    config[f"{name}_values"] = list(pairs.values())


def _pairs(config: ConfigRecord, name: str) -> dict[str, str]:
    names, values = _texts(config, f"{name}_names"), _texts(config, f"{name}_values")
    if len(names) != len(values) or len(set(names)) != len(names):
        raise MalformedMessage(f"The lists `{name}_names` and `{name}_values` do not pair up.")
    return dict(zip(names, values, strict=True))
