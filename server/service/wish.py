"""One request, whichever way it came: read strictly, then held against the limits and the generator's flows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from server.service.errors import RequestRefused, TooLarge
from server.service.limits import Limits

FlowName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
MAX_FLOWS = 64


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class GivenSource(_Strict):
    """What the caller has of one flow: an image file's bytes (base64 in JSON), or a report. Never prints itself."""

    flow: FlowName
    image: Annotated[bytes | None, Field(repr=False)] = None
    """PNG, JPEG or single-frame DICOM."""
    text: Annotated[str | None, Field(repr=False)] = None

    @field_validator("image", mode="before")
    @classmethod
    def _from_base64(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("must be base64") from None


class Wish(_Strict):
    """What to make, from what, and how."""

    targets: Annotated[tuple[FlowName, ...], Field(min_length=1, max_length=MAX_FLOWS)]
    prompt: Annotated[str, Field(repr=False)] = ""
    sources: Annotated[tuple[GivenSource, ...], Field(max_length=MAX_FLOWS)] = ()
    count: Annotated[int, Field(ge=1)] = 1
    """Of each target."""
    num_inference_steps: Annotated[int, Field(ge=1)] = 25
    guidance_scale: Annotated[float, Field(ge=1.0, le=20.0, allow_inf_nan=False)] = 1.5
    candidates: Annotated[int | None, Field(ge=1)] = None
    """Draws of each sample, of which the one comes back that says best what was asked (medm2g/candidates.py); where it
    is not given, the generator's usual number or the most that this service takes."""
    seed: Annotated[int | None, Field(ge=0, lt=2**53)] = None
    """Of the sampling noise; drawn, and told, where it is not given. A JSON number in every browser."""
    formats: tuple[Literal["png", "dicom"], ...] = ("png",)
    """How images come back."""


def wish_of_json(body: bytes) -> Wish:
    """Raises RequestRefused; the sentence names the field and never what stood in it."""
    return _read(lambda: Wish.model_validate_json(body))


def wish_of(values: Mapping[str, Any]) -> Wish:
    """The same, from values that another protocol carried."""
    return _read(lambda: Wish.model_validate(dict(values)))


def _read(read: Any) -> Wish:
    try:
        wish: Wish = read()
    except ValidationError as errors:
        raise RequestRefused(_sentence(errors)) from None
    return wish


def _sentence(errors: ValidationError) -> str:
    first = errors.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return "The request is not JSON: send one JSON object."
    if first["type"] == "extra_forbidden":
        return f"The request holds a field that nobody knows here: use {', '.join(Wish.model_fields)}."
    place = ".".join(str(part) for part in first["loc"]) or "request"
    return f"In the request, `{place}`: {first['msg'].removeprefix('Value error, ')}."


def check_wish(wish: Wish, *, limits: Limits, image_flows: tuple[str, ...], text_flow: str | None) -> None:
    """Raises RequestRefused for what this generator cannot do, TooLarge for what this service does not take."""
    flows = (*image_flows, *((text_flow,) if text_flow else ()))
    given = [source.flow for source in wish.sources]
    if any(flow not in flows for flow in (*wish.targets, *given)):
        raise RequestRefused(f"This generator has no such flow: choose from {', '.join(flows)}.")
    if len(set(wish.targets)) != len(wish.targets) or len(set(given)) != len(given):
        raise RequestRefused("A flow is named twice: name each target and each source once.")
    if set(wish.targets) & set(given):
        raise RequestRefused("A flow is both a source and a target: leave it out of one of them.")
    for source in wish.sources:
        _check_source(source, text_flow)
    if text_flow in given and wish.prompt:
        raise RequestRefused("Give a prompt or a report as a source, not both: a report is also the prompt.")
    _check_amounts(wish, limits)


def _check_source(source: GivenSource, text_flow: str | None) -> None:
    wanted, other = ("text", "image") if source.flow == text_flow else ("image", "text")
    if getattr(source, other) is not None or not getattr(source, wanted):
        raise RequestRefused(f"The source {source.flow} needs `{wanted}` and nothing else.")


def _check_amounts(wish: Wish, limits: Limits) -> None:
    if wish.count > limits.max_count:
        raise TooLarge(f"This service makes at most {limits.max_count} of each target: ask for fewer at a time.")
    if wish.num_inference_steps > limits.max_steps:
        raise TooLarge(f"This service takes at most {limits.max_steps} denoising steps: ask for fewer.")
    if (wish.candidates or 1) > limits.max_candidates:
        raise TooLarge(f"This service chooses among at most {limits.max_candidates} candidates: ask for fewer.")
    if any(len(text or "") > limits.max_text_characters for text in (wish.prompt, *(s.text for s in wish.sources))):
        raise TooLarge(f"A text is longer than {limits.max_text_characters} characters: shorten it.")
