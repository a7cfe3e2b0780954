"""Who may speak to the service: holders of its token, by a name of its own, over TLS unless it is loopback."""

from __future__ import annotations

import hmac
import os
import sys
from pathlib import Path

import pytest

from server.service.address import Tls, address, host_of, tls_of
from server.service.bearer import MIN_CHARACTERS, Bearer, new_token, token_of_file
from server.service.errors import HostUnknown, StartRefused, TokenMissing
from server.service.options import ServeOptions, prepare
from tests.server.service.certificates import certificate


def test_the_token_and_nothing_else_opens_the_door() -> None:
    token = new_token()
    bearer = Bearer(token)
    bearer.check(f"Bearer {token}")
    bearer.check(f"bearer {token}".encode())
    wrong = [
        "",
        None,
        token,
        f"Basic {token}",
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
        f"Bearer  {token}",
        "Bearer ",
    ]
    for said in [*wrong, f"Bearer {token.swapcase()}", "Bearer é"]:
        with pytest.raises(TokenMissing) as refused:
            bearer.check(said)
        assert token not in str(refused.value) and token not in repr(vars(bearer))


def test_tokens_are_long_and_never_twice_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100 and min(map(len, tokens)) >= 43 > MIN_CHARACTERS


def test_the_comparison_takes_one_time_whatever_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constant time is hmac's promise, for two values of one length: that both are asked of it is ours."""
    compared: list[tuple[int, int]] = []
    genuine = hmac.compare_digest

    def spy(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return genuine(left, right)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    bearer = Bearer(new_token())
    for said in ("", "Bearer x", "Bearer " + "y" * 5000):
        with pytest.raises(TokenMissing):
            bearer.check(said)
    assert compared == [(32, 32)] * 3


def test_a_token_file_is_made_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "token"
    old = os.umask(0)
    try:
        token = token_of_file(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert token_of_file(path) == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_token_file_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    token_of_file(path)
    path.chmod(mode)
    with pytest.raises(StartRefused, match="chmod 600"):
        token_of_file(path)


def test_a_token_file_that_is_no_plain_file_with_one_long_word_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "token"
    token_of_file(target)
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, content in {"short": "abc", "empty": "", "two": "x" * 40 + " " + "y" * 40, "long": "x" * 5000}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    for name in ("link", "pipe", "short", "empty", "two", "long", "absent/token"):
        with pytest.raises(StartRefused):
            token_of_file(tmp_path / name)


def test_no_token_is_printed_where_it_would_end_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    with pytest.raises(StartRefused, match="token-file"):
        prepare(ServeOptions(Path("anywhere"), port=0))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    start = prepare(ServeOptions(Path("anywhere"), port=0))
    start.socket.close()
    assert start.token and start.token not in repr(start)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "2001:db8::1"])
def test_nothing_beyond_loopback_is_served_without_tls(bind: str) -> None:
    with pytest.raises(StartRefused, match="TLS"):
        address(bind, None)


def test_a_name_is_no_address_and_one_tls_file_is_no_tls() -> None:
    with pytest.raises(StartRefused, match="IP address"):
        address("hospital.example", None)
    with pytest.raises(StartRefused, match="two files"):
        tls_of(Path("certificate.pem"), None)


@pytest.mark.parametrize("header", ["localhost", "LOCALHOST:8400", "127.0.0.1:1", "[::1]:8400", "localhost."])
def test_loopback_names_are_ours(header: str) -> None:
    address("127.0.0.1", None).check_host(header)


@pytest.mark.parametrize(
    "header",
    ["evil.example", "evil.example:8400", "", None, "localhost.evil.example", "127.0.0.1.evil.example", "[::2]",
     "0.0.0.0", "127.0.0.2"],
)  # fmt: skip
def test_a_name_that_somebody_else_points_at_us_is_refused(header: str | None) -> None:
    with pytest.raises(HostUnknown):
        address("127.0.0.1", None).check_host(header)


def test_with_tls_the_names_are_those_of_the_certificate(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "generator.hospital.example", "*.lab.example", "192.0.2.7")
    served = address("0.0.0.0", tls)
    assert served.scheme == "https"
    for header in ("generator.hospital.example", "a.lab.example:443", "192.0.2.7", "localhost"):
        served.check_host(header)
    for header in ("hospital.example", "lab.example", "a.b.lab.example", "192.0.2.8", "0.0.0.0", "*.lab.example.org"):
        with pytest.raises(HostUnknown):
            served.check_host(header)


def test_tls_files_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    good = certificate(tmp_path, "generator.hospital.example")
    with pytest.raises(StartRefused, match="PEM"):
        address("127.0.0.1", Tls(tmp_path / "absent", good.key))
    with pytest.raises(StartRefused, match="names no host"):
        address("127.0.0.1", certificate(tmp_path))
    good.key.chmod(0o644)
    with pytest.raises(StartRefused, match="chmod"):
        address("127.0.0.1", good)


def test_the_host_is_read_as_browsers_write_it() -> None:
    assert [host_of(said) for said in ("A.b:80", "[::1]:80", " c. ", ":80", None)] == ["a.b", "::1", "c", "", ""]
