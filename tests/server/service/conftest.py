"""One service with the shipped generator and small limits, listening on loopback for a whole file of tests."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

import medm2g
from server.service.limits import Limits
from server.service.options import ServeOptions, prepare

if TYPE_CHECKING:  # torch is loaded by the tests that sample, not by those that only look at tokens and bytes
    from server.service.serve import Service
    from server.service.studio import Studio

SHIPPED = Path(medm2g.__file__).parent / "weights" / "tiny"
LIMITS = Limits(
    max_body_bytes=1 << 20, max_pixels=1 << 20, max_text_characters=200, max_count=4, max_steps=400, max_candidates=3,
    queue=1, timeout_seconds=120, decode_seconds=20,
)  # fmt: skip


@pytest.fixture(scope="session")
def studio() -> Studio:
    from server.service.studio import Studio

    return Studio(SHIPPED, LIMITS)


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token") / "token"


@pytest.fixture(scope="session")
def service(studio: Studio, token_file: Path) -> Iterator[Service]:
    from server.service.serve import Service

    options = ServeOptions(SHIPPED, port=0, grpc_port=0, token_file=token_file, limits=LIMITS)
    with running(Service(prepare(options), studio)) as service:
        yield service


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Answering, in a thread of its own; stopped afterwards."""
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        while thread.is_alive() and not service.ready:
            time.sleep(0.01)
        yield service
    finally:
        service.stop()
        thread.join(20)
        assert not thread.is_alive(), "".join(traceback.format_stack(sys._current_frames()[thread.ident or 0]))


@pytest.fixture
def token(token_file: Path, service: Service) -> str:
    return token_file.read_text().strip()


@pytest.fixture
def client(service: Service, token: str) -> Iterator[httpx.Client]:
    """A caller with the token."""
    with caller(service, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture
def stranger(service: Service) -> Iterator[httpx.Client]:
    """A caller without it."""
    with caller(service) as client:
        yield client


def caller(service: Service, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=60, trust_env=False, **options)


def generate(client: httpx.Client, **wish: Any) -> list[dict[str, Any]]:
    """Every event of one request, two steps of one draw unless said otherwise."""
    answer = client.post("/api/generate", json={"num_inference_steps": 2, "candidates": 1, **wish})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="session")
def ramp() -> np.ndarray:
    """A unit image that is nowhere symmetric."""
    rows, columns = np.mgrid[0:64, 0:64] / 63.0
    return ((rows + 2 * columns) / 1.5 - 1.0).astype(np.float32)
