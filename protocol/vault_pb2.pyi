from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("site", "versions", "groups_held", "approved")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class GroupsHeldEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SITE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_HELD_FIELD_NUMBER: _ClassVar[int]
    APPROVED_FIELD_NUMBER: _ClassVar[int]
    site: str
    versions: _containers.ScalarMap[str, str]
    groups_held: _containers.ScalarMap[str, str]
    approved: bool
    def __init__(self, site: _Optional[str] = ..., versions: _Optional[_Mapping[str, str]] = ..., groups_held: _Optional[_Mapping[str, str]] = ..., approved: _Optional[bool] = ...) -> None: ...

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
    def __init__(self, group: _Optional[str] = ..., name: _Optional[str] = ..., codec: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., bytes: _Optional[int] = ...) -> None: ...

class TrainHeader(_message.Message):
    __slots__ = ("study_digest", "stage", "round_number", "trains", "reads", "tensors")
    class ReadsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
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
    def __init__(self, study_digest: _Optional[str] = ..., stage: _Optional[str] = ..., round_number: _Optional[int] = ..., trains: _Optional[_Iterable[str]] = ..., reads: _Optional[_Mapping[str, str]] = ..., tensors: _Optional[_Iterable[_Union[TensorHead, _Mapping]]] = ...) -> None: ...

class TrainPart(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: TrainHeader
    piece: bytes
    def __init__(self, header: _Optional[_Union[TrainHeader, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("waiting", "steps_planned")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    STEPS_PLANNED_FIELD_NUMBER: _ClassVar[int]
    waiting: bool
    steps_planned: int
    def __init__(self, waiting: _Optional[bool] = ..., steps_planned: _Optional[int] = ...) -> None: ...

class ReplyHeader(_message.Message):
    __slots__ = ("code", "site", "inputs_digest", "incident", "missing", "event_digest", "metrics", "tensors")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
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
    def __init__(self, code: _Optional[str] = ..., site: _Optional[str] = ..., inputs_digest: _Optional[str] = ..., incident: _Optional[str] = ..., missing: _Optional[_Iterable[str]] = ..., event_digest: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ..., tensors: _Optional[_Iterable[_Union[TensorHead, _Mapping]]] = ...) -> None: ...

class TrainEvent(_message.Message):
    __slots__ = ("progress", "reply", "piece")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    reply: ReplyHeader
    piece: bytes
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., reply: _Optional[_Union[ReplyHeader, _Mapping]] = ..., piece: _Optional[bytes] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelReply(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: _Optional[bool] = ...) -> None: ...

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
    def __init__(self, site: _Optional[str] = ..., version: _Optional[str] = ..., busy: _Optional[bool] = ..., round: _Optional[_Union[RunningRound, _Mapping]] = ..., operator: _Optional[_Union[OperatorStatus, _Mapping]] = ...) -> None: ...

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
    def __init__(self, study_digest: _Optional[str] = ..., stage: _Optional[str] = ..., round_number: _Optional[int] = ..., steps_planned: _Optional[int] = ...) -> None: ...

class OperatorStatus(_message.Message):
    __slots__ = ("steps_taken", "seconds_running", "model_resident", "rounds_answered", "last_incident", "last_code", "cancelling")
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
    def __init__(self, steps_taken: _Optional[int] = ..., seconds_running: _Optional[float] = ..., model_resident: _Optional[bool] = ..., rounds_answered: _Optional[int] = ..., last_incident: _Optional[str] = ..., last_code: _Optional[str] = ..., cancelling: _Optional[bool] = ...) -> None: ...
