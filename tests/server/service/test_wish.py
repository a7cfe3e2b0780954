"""A request is read strictly and held against every limit; no refusal repeats what stood in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.service.errors import RequestRefused, StartRefused, TooLarge
from server.service.limits import Limits
from server.service.wish import check_wish, wish_of_json

SECRET = "Doe^John-1961"


def _read(**values: Any) -> Any:
    return wish_of_json(json.dumps({"targets": ["xray"], **values}).encode())


def _check(limits: Limits | None = None, **values: Any) -> None:
    check_wish(_read(**values), limits=limits or Limits(), image_flows=("xray", "ct"), text_flow="text")


@pytest.mark.parametrize(
    "values",
    [
        {"targets": SECRET}, {"targets": []}, {"targets": [SECRET]}, {"targets": ["x" * 41]}, {"targets": ["a"] * 65},
        {SECRET: 1}, {"count": SECRET}, {"count": "2"}, {"count": 0}, {"count": True}, {"count": 1.5},
        {"num_inference_steps": 0}, {"guidance_scale": 0.5}, {"guidance_scale": 21}, {"seed": -1}, {"seed": 2**53},
        {"formats": [SECRET]}, {"prompt": 3}, {"prompt": None}, {"sources": [{"flow": "ct", "image": SECRET}]},
        {"sources": [{"flow": "ct", "image": "AAAA", SECRET: 1}]}, {"sources": {"ct": SECRET}},
    ],
)  # fmt: skip
def test_what_is_not_a_wish_is_refused_without_repeating_it(values: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused) as refused:
        _read(**values)
    assert SECRET not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"Doe"', b"\xff", b'{"targets": ["xray"], "prompt": "\\ud800"}']
)
def test_what_is_not_an_object_of_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRefused):
        wish_of_json(body)


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(RequestRefused):
        wish_of_json(b'{"targets": ["xray"], "guidance_scale": NaN}')


def test_a_wish_never_prints_what_it_holds() -> None:
    wish = _read(prompt=SECRET, sources=[{"flow": "text", "text": SECRET}, {"flow": "ct", "image": "RG9l"}])
    assert wish.sources[1].image == b"Doe"
    assert SECRET not in repr(wish) and "Doe" not in repr(wish)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"targets": ["pet"]}, "no such flow"),
        ({"sources": [{"flow": "pet", "image": "AAAA"}]}, "no such flow"),
        ({"targets": ["xray", "xray"]}, "named twice"),
        ({"sources": [{"flow": "ct", "image": "AAAA"}] * 2}, "named twice"),
        ({"sources": [{"flow": "xray", "image": "AAAA"}]}, "both a source and a target"),
        ({"sources": [{"flow": "ct"}]}, "needs `image`"),
        ({"sources": [{"flow": "ct", "image": ""}]}, "needs `image`"),
        ({"sources": [{"flow": "ct", "text": "x"}]}, "needs `image`"),
        ({"sources": [{"flow": "text", "image": "AAAA"}]}, "needs `text`"),
        ({"sources": [{"flow": "text", "text": "x"}], "prompt": "y"}, "not both"),
    ],
)
def test_what_this_generator_cannot_do_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestRefused, match=sentence):
        _check(**values)


def test_every_amount_stops_at_its_limit_and_not_before() -> None:
    limits = Limits(max_count=3, max_steps=5, max_candidates=2, max_text_characters=4)
    _check(limits, count=3, num_inference_steps=5, candidates=2, prompt="abcd")
    _check(limits, num_inference_steps=5, sources=[{"flow": "text", "text": "abcd"}])
    for values in ({"count": 4}, {"num_inference_steps": 6}, {"candidates": 3}, {"prompt": "abcde"},
                   {"sources": [{"flow": "text", "text": "abcde"}]}):  # fmt: skip
        with pytest.raises(TooLarge):
            _check(limits, **{"num_inference_steps": 5, **values})


def test_limits_that_limit_nothing_or_everything_are_refused() -> None:
    for values in ({"max_count": 0}, {"timeout_seconds": -1}, {"concurrency": 0}, {"queue": -1}):
        with pytest.raises(StartRefused, match=next(iter(values))):
            Limits(**values)
    assert Limits(queue=0).seats == 1
