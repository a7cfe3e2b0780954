from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("generator", "digest", "version", "image_size", "image_flows", "text_flow", "card", "alarms", "sites_without_privacy", "limits")
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FLOWS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FLOW_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    SITES_WITHOUT_PRIVACY_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    generator: str
    digest: str
    version: str
    image_size: int
    image_flows: _containers.RepeatedScalarFieldContainer[str]
    text_flow: str
    card: str
    alarms: _containers.RepeatedScalarFieldContainer[str]
    sites_without_privacy: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    def __init__(self, generator: _Optional[str] = ..., digest: _Optional[str] = ..., version: _Optional[str] = ..., image_size: _Optional[int] = ..., image_flows: _Optional[_Iterable[str]] = ..., text_flow: _Optional[str] = ..., card: _Optional[str] = ..., alarms: _Optional[_Iterable[str]] = ..., sites_without_privacy: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_body_bytes", "max_pixels", "max_text_characters", "max_count", "max_steps", "concurrency", "queue", "timeout_seconds", "decode_seconds", "max_candidates")
    MAX_BODY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DECODE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    max_body_bytes: int
    max_pixels: int
    max_text_characters: int
    max_count: int
    max_steps: int
    concurrency: int
    queue: int
    timeout_seconds: float
    decode_seconds: float
    max_candidates: int
    def __init__(self, max_body_bytes: _Optional[int] = ..., max_pixels: _Optional[int] = ..., max_text_characters: _Optional[int] = ..., max_count: _Optional[int] = ..., max_steps: _Optional[int] = ..., concurrency: _Optional[int] = ..., queue: _Optional[int] = ..., timeout_seconds: _Optional[float] = ..., decode_seconds: _Optional[float] = ..., max_candidates: _Optional[int] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("targets", "prompt", "sources", "count", "num_inference_steps", "guidance_scale", "seed", "formats", "candidates")
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NUM_INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedScalarFieldContainer[str]
    prompt: str
    sources: _containers.RepeatedCompositeFieldContainer[GivenSource]
    count: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    formats: _containers.RepeatedScalarFieldContainer[str]
    candidates: int
    def __init__(self, targets: _Optional[_Iterable[str]] = ..., prompt: _Optional[str] = ..., sources: _Optional[_Iterable[_Union[GivenSource, _Mapping]]] = ..., count: _Optional[int] = ..., num_inference_steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., seed: _Optional[int] = ..., formats: _Optional[_Iterable[str]] = ..., candidates: _Optional[int] = ...) -> None: ...

class GivenSource(_message.Message):
    __slots__ = ("flow", "image", "text")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    flow: str
    image: bytes
    text: str
    def __init__(self, flow: _Optional[str] = ..., image: _Optional[bytes] = ..., text: _Optional[str] = ...) -> None: ...

class GenerateEvent(_message.Message):
    __slots__ = ("queued", "seen", "progress", "sample", "finished")
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    queued: Queued
    seen: Seen
    progress: Progress
    sample: Sample
    finished: Finished
    def __init__(self, queued: _Optional[_Union[Queued, _Mapping]] = ..., seen: _Optional[_Union[Seen, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., sample: _Optional[_Union[Sample, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ...) -> None: ...

class Queued(_message.Message):
    __slots__ = ("ahead",)
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    ahead: int
    def __init__(self, ahead: _Optional[int] = ...) -> None: ...

class Seen(_message.Message):
    __slots__ = ("flow", "png")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    flow: str
    png: bytes
    def __init__(self, flow: _Optional[str] = ..., png: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("flow", "index", "png", "dicom", "text")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    DICOM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    flow: str
    index: int
    png: bytes
    dicom: bytes
    text: str
    def __init__(self, flow: _Optional[str] = ..., index: _Optional[int] = ..., png: _Optional[bytes] = ..., dicom: _Optional[bytes] = ..., text: _Optional[str] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("seed", "seconds")
    SEED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seed: int
    seconds: float
    def __init__(self, seed: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...
