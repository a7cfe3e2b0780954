"""The HTTP door of a real service on loopback: who may come in, what is taken, what comes out, that nothing is kept."""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import ssl
import time
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pydicom
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from protocol.study import flow_spec
from protocol.synthetic import synthetic_dicom, synthetic_png
from server.service.address import Tls
from server.service.errors import StartRefused
from server.service.options import ServeOptions, prepare
from server.service.serve import Service
from server.service.studio import Studio
from server.service.web import PAGE
from tests.server.service.certificates import certificate
from tests.server.service.conftest import LIMITS, SHIPPED, caller, generate, running

SECRET = "Doe^John-1961"
CALLS = (("GET", "/api/generator"), ("POST", "/api/generate"))


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


# ---- who may come in ----


@pytest.mark.parametrize(
    ("method", "path"), [*CALLS, ("GET", "/api/"), ("GET", "/api/nothing"), ("PUT", "/api/generate")]
)
def test_nothing_under_api_answers_without_the_token(
    stranger: httpx.Client, token: str, method: str, path: str
) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}, {"Cookie": f"token={token}"}):
        answer = stranger.request(method, path, headers=headers, params={"token": token, "access_token": token})
        assert answer.status_code == 401 and answer.json()["code"] == "unauthorised"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_request_for_another_host_is_refused_with_and_without_the_token(
    service: Service, client: httpx.Client
) -> None:
    for path in ("/", "/api/generator"):
        for host in ("evil.example", f"evil.example:{service.port}", "localhost.evil.example"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 421 and answer.json()["code"] == "unknown-host"
    assert client.get("/api/generator", headers={"Host": f"localhost:{service.port}"}).status_code == 200


def test_a_request_with_two_hosts_or_none_is_refused(service: Service) -> None:
    for lines in (b"Host: localhost\r\nHost: localhost\r\n", b""):
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
            assert raw.recv(100).split(b" ")[1][:1] == b"4"


def test_no_other_page_may_read_an_answer(client: httpx.Client) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.get("/api/generator", headers=asked), client.options("/api/generate", headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", [*PAGE, "/nothing", "/api/nothing"])
def test_every_answer_carries_the_headers_that_confine_the_page(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


# ---- the page's files ----


def test_the_page_asks_nobody_else_for_anything() -> None:
    folder = files("server.service") / "page"
    assert {name for name, _ in PAGE.values()} == {entry.name for entry in folder.iterdir()}
    for name, _ in PAGE.values():
        text = (folder / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text), (
            name
        )
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|\son[a-z]+=|style=", html)
    assert "not for diagnosis" in html


def test_every_field_of_the_page_has_a_label() -> None:
    html = (files("server.service") / "page" / "index.html").read_text(encoding="utf-8")
    fields = re.findall(r"<(?:input|textarea)\b[^>]*\bid=\"(\w+)\"", html)
    assert fields and set(fields) <= set(re.findall(r"<label for=\"(\w+)\"", html))


# ---- what comes out ----


def test_the_generator_says_what_it_is(client: httpx.Client) -> None:
    said = client.get("/api/generator").json()
    assert said["image_flows"] == ["xray", "ct", "mri_t1", "mri_t2", "mri_flair"] and said["text_flow"] == "text"
    assert said["generator"] == "tiny" and said["limits"]["max_count"] == LIMITS.max_count
    assert said["card"][0]["kind"] == "heading" and "/" not in said["generator"]


def test_report_to_image_and_report_at_once_step_by_step(client: httpx.Client) -> None:
    events = generate(client, targets=["xray", "text"], prompt="Cardiomegaly.", count=2, seed=3)
    assert [event["event"] for event in events] == ["queued", "progress", "progress", *["sample"] * 4, "finished"]
    assert [(event["done"], event["total"]) for event in events[1:3]] == [(1, 2), (2, 2)]
    assert [(event["flow"], event["index"]) for event in events[3:7]] == [
        ("xray", 0),
        ("xray", 1),
        ("text", 0),
        ("text", 1),
    ]
    with Image.open(BytesIO(base64.b64decode(events[3]["png"]))) as picture:
        assert picture.size == (64, 64) and "SYNTHETIC" in picture.info["Comment"]
    assert "dicom" not in events[3] and events[5]["text"] and events[-1]["seed"] == 3


def test_of_several_candidates_the_best_comes_back_as_many_as_the_service_takes_where_nobody_says(
    client: httpx.Client,
) -> None:
    wish = {"targets": ["xray"], "prompt": "Large left pleural effusion.", "seed": 3}
    asked = {number: generate(client, candidates=number, **wish) for number in (1, 3, None)}
    assert [[event["event"] for event in events].count("sample") for events in asked.values()] == [1, 1, 1]
    assert [max(event.get("total", 0) for event in events) for events in asked.values()] == [2, 6, 6]
    assert asked[None][-2]["png"] == asked[3][-2]["png"]


def test_dicom_comes_marked_and_no_two_requests_share_a_uid(client: httpx.Client) -> None:
    wish = {"targets": ["ct"], "count": 2, "seed": 1, "formats": ["dicom"]}
    made = [event for _ in range(2) for event in generate(client, **wish) if event["event"] == "sample"]
    datasets = [pydicom.dcmread(BytesIO(base64.b64decode(event["dicom"]))) for event in made]
    for dataset in datasets:
        assert dataset.SyntheticData == "YES" and str(dataset.PatientName) == "SYNTHETIC" and dataset.Modality == "CT"
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 4
    assert len({dataset.StudyInstanceUID for dataset in datasets}) == 2
    assert "png" not in made[0]
    np.testing.assert_array_equal(datasets[0].pixel_array, datasets[2].pixel_array)  # one seed, one image


def test_a_seed_is_drawn_where_none_is_given_and_gives_the_same_again(client: httpx.Client) -> None:
    first, other = generate(client, targets=["xray"]), generate(client, targets=["xray"])
    again = generate(client, targets=["xray"], seed=first[-1]["seed"])
    assert first[-1]["seed"] != other[-1]["seed"]
    assert first[-2]["png"] == again[-2]["png"] != other[-2]["png"]


def test_an_uploaded_image_is_heard(client: httpx.Client, ramp: np.ndarray) -> None:
    flow = flow_spec("mri_t1")
    content = {
        "png": synthetic_png(ramp),
        "dicom": synthetic_dicom(ramp, flow, identity="g/0/0"),
        "other": synthetic_png(-ramp),
    }
    made = {}
    for name, file in content.items():
        source = {"flow": "mri_t1", "image": _encoded(file)}
        events = generate(client, targets=["mri_t2"], sources=[source], seed=5, guidance_scale=4.0)
        (seen,) = (event for event in events if event["event"] == "seen")
        with Image.open(BytesIO(base64.b64decode(seen["png"]))) as picture:
            expected = -ramp if name == "other" else ramp
            np.testing.assert_allclose(np.asarray(picture) / 127.5 - 1, expected, atol=0.02)
            assert not picture.info  # what a patient's image gives back is not called synthetic
        made[name] = _grey(events)
    assert np.abs(made["png"] - made["dicom"]).mean() < 1 < np.abs(made["png"] - made["other"]).mean()


def test_an_image_becomes_a_report(client: httpx.Client, ramp: np.ndarray) -> None:
    source = {"flow": "xray", "image": _encoded(synthetic_png(ramp))}
    assert [
        event["text"] for event in generate(client, targets=["text"], sources=[source]) if event["event"] == "sample"
    ]
    source = {"flow": "text", "text": "Small nodule in the left lung."}
    assert [event for event in generate(client, targets=["xray"], sources=[source]) if event["event"] == "sample"]


def test_a_bad_upload_ends_the_stream_with_one_sentence(client: httpx.Client) -> None:
    source = {"flow": "ct", "image": _encoded(b"%PDF " + SECRET.encode())}
    events = generate(client, targets=["xray"], sources=[source])
    assert events[-1]["event"] == "failed" and events[-1]["code"] == "bad-request"
    assert "PNG, JPEG or DICOM" in events[-1]["sentence"] and SECRET not in json.dumps(events)


# ---- what is taken ----


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"targets": ["pet"]}, 400), ({"targets": ["xray"], SECRET: 1}, 400), ({"targets": ["xray"], "count": 5}, 413),
        ({"targets": ["xray"], "num_inference_steps": 401}, 413), ({"targets": ["xray"], "prompt": "x" * 201}, 413),
    ],
)  # fmt: skip
def test_what_is_asked_too_much_or_wrongly_is_refused_before_it_is_queued(
    client: httpx.Client, wish: dict[str, Any], status: int
) -> None:
    answer = client.post("/api/generate", json=wish)
    assert answer.status_code == status and SECRET not in answer.text
    assert answer.json()["sentence"].endswith(".")


def test_a_body_is_counted_whatever_it_declares(client: httpx.Client, service: Service, token: str) -> None:
    large = LIMITS.max_body_bytes + 1
    assert client.post("/api/generate", content=b"x" * large).status_code == 413
    pieces = (b"x" * 65536 for _ in range(large // 65536 + 1))  # chunked: no length is declared
    assert client.post("/api/generate", content=pieces).status_code == 413
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as raw:
        head = f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        raw.sendall(f"{head}Content-Length: {10**18}\r\n\r\n".encode())
        assert b" 413 " in raw.recv(100)
    assert client.get("/api/generator").status_code == 200


def test_all_seats_taken_is_said_at_once_and_hanging_up_frees_them(service: Service, token: str) -> None:
    wish = {"targets": ["xray", "ct", "mri_t1", "mri_t2"], "count": 4, "num_inference_steps": 400}
    headers = {"Authorization": f"Bearer {token}"}
    with caller(service, headers=headers) as one, caller(service, headers=headers) as two:
        with (
            one.stream("POST", "/api/generate", json=wish) as first,
            two.stream("POST", "/api/generate", json=wish) as second,
        ):
            lines = first.iter_lines(), second.iter_lines()
            assert json.loads(next(lines[0])) == {"event": "queued", "ahead": 0}
            assert json.loads(next(lines[1])) == {"event": "queued", "ahead": 1}
            with caller(service, headers=headers) as third:
                answer = third.post("/api/generate", json={"targets": ["xray"]})
            assert answer.status_code == 503 and answer.json()["code"] == "busy"
    left = time.monotonic()
    with caller(service, headers=headers) as fourth:
        while (
            answer := fourth.post("/api/generate", json={"targets": ["xray"], "num_inference_steps": 1})
        ).status_code == 503:
            assert time.monotonic() - left < 20, "those who hung up still hold their seats"
            time.sleep(0.05)
    assert answer.status_code == 200


def test_who_hangs_up_while_waiting_frees_the_seat_at_once(service: Service, token: str) -> None:
    wish = {"targets": ["xray", "ct", "mri_t1", "mri_t2"], "count": 4, "num_inference_steps": 400}
    headers = {"Authorization": f"Bearer {token}"}
    with caller(service, headers=headers) as one, one.stream("POST", "/api/generate", json=wish) as first:
        lines = first.iter_lines()
        assert json.loads(next(lines)) == {"event": "queued", "ahead": 0}
        for _ in range(2):
            left = time.monotonic()
            while True:
                with caller(service, headers=headers) as two, two.stream("POST", "/api/generate", json=wish) as second:
                    if second.status_code == 200:
                        assert json.loads(next(second.iter_lines()))["ahead"] == 1
                        break
                assert time.monotonic() - left < 20, "who hung up while waiting still holds the seat"
                time.sleep(0.05)
        assert json.loads(next(lines))["event"] == "progress"


def test_an_error_nobody_foresaw_says_nothing_of_the_request(
    client: httpx.Client, studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*words: Any, **options: Any) -> None:
        raise ValueError(SECRET)

    for where in ("check", "_sources"):
        with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG):
            patch.setattr(Studio, where, fails)
            answer = client.post("/api/generate", json={"targets": ["xray"], "prompt": SECRET})
        assert "incident" in answer.text and SECRET not in answer.text
        assert "ValueError" in caplog.text and SECRET not in caplog.text
    assert client.post("/api/generate", json={"targets": ["xray"], "num_inference_steps": 1}).status_code == 200


def test_the_log_holds_route_status_and_time_and_nothing_of_a_request(
    client: httpx.Client,
    token: str,
    ramp: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        source = {"flow": "xray", "image": _encoded(synthetic_png(ramp))}
        generate(client, targets=["text"], sources=[source], prompt=SECRET)
        client.get(f"/{SECRET}", params={"name": SECRET})
        client.request(SECRET.upper().replace("^", "-"), "/", headers={"X-Name": SECRET})
        client.post("/api/generate", content=SECRET)
    lines = [record.getMessage() for record in caplog.records if record.name == "fedm2g.serve"]
    assert re.fullmatch(r"POST /api/generate 200 \d+\.\d\d s", lines[0])
    assert lines[1].startswith("GET (unknown path) 404") and lines[2].startswith("other / 4")
    ours = "\n".join(lines) + "".join(capfd.readouterr())
    assert "DOE" not in ours.upper() and token not in ours


def test_nothing_is_written_to_disk_while_a_request_is_answered(
    client: httpx.Client, ramp: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins
    import os

    generate(client, targets=["xray"])  # what is imported late is imported now
    written: list[Any] = []
    genuine_open, genuine_os_open = builtins.open, os.open

    def spy(file: Any, mode: str = "r", *words: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            written.append(file)
        return genuine_open(file, mode, *words, **options)

    def os_spy(path: Any, flags: int, *words: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(path)
        return genuine_os_open(path, flags, *words, **options)

    monkeypatch.setattr(builtins, "open", spy)
    monkeypatch.setattr(os, "open", os_spy)
    source = {"flow": "mri_t1", "image": _encoded(synthetic_dicom(ramp, flow_spec("mri_t1"), identity="g/0/0"))}
    generate(client, targets=["mri_t2", "text"], sources=[source], formats=["png", "dicom"])
    assert [name for name in written if isinstance(name, str | os.PathLike) and str(name) != os.devnull] == []


# ---- TLS ----


def test_with_tls_both_doors_speak_nothing_else(studio: Studio, tmp_path: Path) -> None:
    tls = certificate(tmp_path, "localhost", "127.0.0.1")
    options = ServeOptions(SHIPPED, port=0, grpc_port=0, token_file=tmp_path / "token", tls=tls, limits=LIMITS)
    with running(Service(prepare(options), studio)) as service:
        trusted = ssl.create_default_context(cafile=str(tls.certificate))
        secure = f"https://localhost:{service.port}"
        assert httpx.get(secure, verify=trusted, trust_env=False).status_code == 200
        assert httpx.get(secure, verify=trusted, trust_env=False, headers={"Host": "evil.example"}).status_code == 421
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://localhost:{service.port}", trust_env=False)
        roots = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{service.grpc_port}", roots) as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        with grpc.insecure_channel(f"localhost:{service.grpc_port}") as channel, pytest.raises(grpc.RpcError):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)


def test_a_certificate_and_a_key_of_two_pairs_are_refused(studio: Studio, tmp_path: Path) -> None:
    mixed = Tls(certificate(tmp_path, "a.example").certificate, certificate(tmp_path, "b.example", "c.example").key)
    options = ServeOptions(SHIPPED, port=0, grpc_port=0, token_file=tmp_path / "token", tls=mixed, limits=LIMITS)
    start = prepare(options)
    with pytest.raises(StartRefused, match="belong together"):
        Service(start, studio)
    start.socket.close()


def test_a_port_that_is_taken_is_refused(service: Service, studio: Studio, tmp_path: Path) -> None:
    options = ServeOptions(SHIPPED, port=service.port, grpc_port=0, token_file=tmp_path / "token", limits=LIMITS)
    with pytest.raises(StartRefused, match="--port"):
        prepare(options)
    start = prepare(replace(options, port=0, grpc_port=service.grpc_port))
    with pytest.raises(StartRefused, match="--grpc-port"):
        Service(start, studio)
    start.socket.close()


def _grey(events: list[dict[str, Any]]) -> np.ndarray:
    (sample,) = (event for event in events if event["event"] == "sample")
    with Image.open(BytesIO(base64.b64decode(sample["png"]))) as picture:
        return np.asarray(picture, dtype=np.float32)
