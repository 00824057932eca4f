"""The server: whom it answers, what it lets a browser ask, and its command line."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from exuno.app.serve import LOOPBACK, POLICY, Guard, listen
from exuno.engine.errors import ExunoError


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"the page"})


def answer(guard: Guard, **headers: str) -> tuple[int, dict[bytes, bytes]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:7860", None, 200),
        ("localhost:7860", "http://localhost:7860", 200),
        ("[::1]:7860", "http://[::1]:7860", 200),
        ("evil.example:7860", None, 403),  # a name that was made to point here
        ("127.0.0.1.evil.example:7860", None, 403),
        ("127.0.0.1:7860", "http://evil.example", 403),  # a form of another site
        ("127.0.0.1:7860", "null", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:80", 403),
        ("", None, 403),
        ("[::1", None, 403),  # no address at all
        ("127.0.0.1:7860", "http://[", 403),
    ],
)
def test_the_page_answers_itself_only(host: str, origin: str | None, status: int) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert answer(Guard(nothing, LOOPBACK), **headers)[0] == status


def test_on_an_address_for_others_any_name_will_do_but_no_other_site() -> None:
    assert answer(Guard(nothing, ()), host="box.example:80")[0] == 200
    assert answer(Guard(nothing, ()), host="box.example:80", origin="http://evil.example")[0] == 403


def test_every_answer_forbids_a_browser_to_ask_elsewhere() -> None:
    _, headers = answer(Guard(nothing, LOOPBACK), host="localhost")
    assert headers[b"content-security-policy"] == POLICY.encode()
    assert headers[b"x-own"] == b"1"
    assert "http:" not in POLICY
    assert "https:" not in POLICY
    assert "*" not in POLICY


def test_a_folder_that_cannot_be(fails, tmp_path: Path) -> None:
    pytest.importorskip("gradio")  # without it, that is what is told
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in fails("app", "--port", "0", "--out", tmp_path / "file" / "below")


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ExunoError, match=rf"the page cannot be at 127.0.0.1:{port}: .*Give another --port"):
            listen("127.0.0.1", port)


def test_no_such_host() -> None:
    with pytest.raises(ExunoError, match=r"the page cannot be at no-such-host\.invalid"):
        listen("no-such-host.invalid", 0)


def test_without_gradio_the_command_says_what_to_install(fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exuno.app.app.importable", lambda name: name != "gradio")
    said = fails("app", "--port", "0")
    assert said == 'exuno: exuno app needs Gradio, which is not installed. pip install "exuno[app]"'


def test_a_taken_port_on_the_command_line(fails, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "the page cannot be at 127.0.0.1" in fails("app", "--port", taken.getsockname()[1], "--out", tmp_path)


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_no_port(fails, port: str) -> None:
    assert f"--port is {port}" in fails("app", "--port", port)
