from collections.abc import Iterable as _Iterable
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar

from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: str | None = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("site", "versions", "groups_held", "approved")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: str | None = ..., value: str | None = ...) -> None: ...

    class GroupsHeldEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: str | None = ..., value: str | None = ...) -> None: ...

    SITE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_HELD_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    site: str
    versions: _containers.ScalarMap[str, str]
    groups_held: _containers.ScalarMap[str, str]
    approved: bool
    def __init__(
        self,
        site: str | None = ...,
        versions: _Mapping[str, str] | None = ...,
        groups_held: _Mapping[str, str] | None = ...,
        approved: bool | None = ...,
    ) -> None: ...

class TensorHead(_message.Message):
    __slots__ = ("group", "name", "codec", "shape", "bytes")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    group: str
    name: str
    codec: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    bytes: int
    def __init__(
        self,
        group: str | None = ...,
        name: str | None = ...,
        codec: str | None = ...,
        shape: _Iterable[int] | None = ...,
        bytes: int | None = ...,
    ) -> None: ...

class TrainHeader(_message.Message):
    __slots__ = ("study_digest", "stage", "round_number", "trains", "reads", "tensors")
    class ReadsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: str | None = ..., value: str | None = ...) -> None: ...

    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRAINS_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    stage: str
    round_number: int
    trains: _containers.RepeatedScalarFieldContainer[str]
    reads: _containers.ScalarMap[str, str]
    tensors: _containers.RepeatedCompositeFieldContainer[TensorHead]
    def __init__(
        self,
        study_digest: str | None = ...,
        stage: str | None = ...,
        round_number: int | None = ...,
        trains: _Iterable[str] | None = ...,
        reads: _Mapping[str, str] | None = ...,
        tensors: _Iterable[TensorHead | _Mapping] | None = ...,
    ) -> None: ...

class TrainPart(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: TrainHeader
    piece: bytes
    def __init__(self, header: TrainHeader | _Mapping | None = ..., piece: bytes | None = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("waiting", "steps_planned")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    STEPS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    waiting: bool
    steps_planned: int
    def __init__(self, waiting: bool | None = ..., steps_planned: int | None = ...) -> None: ...

class ReplyHeader(_message.Message):
    __slots__ = ("code", "site", "inputs_digest", "incident", "missing", "event_digest", "metrics", "tensors")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: str | None = ..., value: float | None = ...) -> None: ...

    CODE_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    EVENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    code: str
    site: str
    inputs_digest: str
    incident: str
    missing: _containers.RepeatedScalarFieldContainer[str]
    event_digest: str
    metrics: _containers.ScalarMap[str, float]
    tensors: _containers.RepeatedCompositeFieldContainer[TensorHead]
    def __init__(
        self,
        code: str | None = ...,
        site: str | None = ...,
        inputs_digest: str | None = ...,
        incident: str | None = ...,
        missing: _Iterable[str] | None = ...,
        event_digest: str | None = ...,
        metrics: _Mapping[str, float] | None = ...,
        tensors: _Iterable[TensorHead | _Mapping] | None = ...,
    ) -> None: ...

class TrainEvent(_message.Message):
    __slots__ = ("progress", "reply", "piece")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    reply: ReplyHeader
    piece: bytes
    def __init__(
        self,
        progress: Progress | _Mapping | None = ...,
        reply: ReplyHeader | _Mapping | None = ...,
        piece: bytes | None = ...,
    ) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelReply(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: bool | None = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VaultStatus(_message.Message):
    __slots__ = ("site", "version", "busy", "round", "operator")
    SITE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    site: str
    version: str
    busy: bool
    round: RunningRound
    operator: OperatorStatus
    def __init__(
        self,
        site: str | None = ...,
        version: str | None = ...,
        busy: bool | None = ...,
        round: RunningRound | _Mapping | None = ...,
        operator: OperatorStatus | _Mapping | None = ...,
    ) -> None: ...

class RunningRound(_message.Message):
    __slots__ = ("study_digest", "stage", "round_number", "steps_planned")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ROUND_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STEPS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    stage: str
    round_number: int
    steps_planned: int
    def __init__(
        self,
        study_digest: str | None = ...,
        stage: str | None = ...,
        round_number: int | None = ...,
        steps_planned: int | None = ...,
    ) -> None: ...

class OperatorStatus(_message.Message):
    __slots__ = (
        "steps_taken",
        "seconds_running",
        "model_resident",
        "rounds_answered",
        "last_incident",
        "last_code",
        "cancelling",
    )
    STEPS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    SECONDS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    MODEL_RESIDENT_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_ANSWERED_FIELD_NUMBER: _ClassVar[int]
    LAST_INCIDENT_FIELD_NUMBER: _ClassVar[int]
    LAST_CODE_FIELD_NUMBER: _ClassVar[int]
    CANCELLING_FIELD_NUMBER: _ClassVar[int]
    steps_taken: int
    seconds_running: float
    model_resident: bool
    rounds_answered: int
    last_incident: str
    last_code: str
    cancelling: bool
    def __init__(
        self,
        steps_taken: int | None = ...,
        seconds_running: float | None = ...,
        model_resident: bool | None = ...,
        rounds_answered: int | None = ...,
        last_incident: str | None = ...,
        last_code: str | None = ...,
        cancelling: bool | None = ...,
    ) -> None: ...
