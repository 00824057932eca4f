"""The server of the page: it answers this machine only, and lets a browser ask nobody else."""

import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from exuno.app.jobs import Jobs
from exuno.app.options import AppConfig
from exuno.engine.errors import ExunoError
from exuno.engine.files import disk_errors

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""Content-Security-Policy: whatever a library of the page would fetch elsewhere, a browser refuses."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """ASGI middleware: requests of this page alone, and the policy on every answer.

    Args:
        app: what answers.
        hosts: names by which the page may be asked for; none allows any. A page of another site that has its name
            point here (DNS rebinding) has another.
    """

    def __init__(self, app: App, hosts: tuple[str, ...]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self.allows(headers.get("host", ""), headers.get("origin")):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"This page answers itself only.\n"})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, receive, answer)

    def allows(self, host: str, origin: str | None) -> bool:
        """Whether a request is for this page, and from it: browsers say the origin of what a page of another site
        sends."""
        try:
            name, place = urlsplit(f"//{host}").hostname or "", None if origin is None else urlsplit(origin).netloc
        except ValueError:  # no address at all
            return False
        return (not self.hosts or name in self.hosts) and place in (None, host)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ExunoError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise ExunoError(
            f"the page cannot be at {host}:{port}: {error.strerror or error}",
            "Give another --port (0 takes a free one), or --host 127.0.0.1.",
        ) from None
    return found


def serve(config: AppConfig) -> None:
    """Serves the page until it is told to stop; a command that it has started is told, too, and writes a checkpoint.

    Raises:
        ExunoError: the address cannot be had, or the folder not be written.
    """
    out = config.out  # as it was given, so that commands are short and can be repeated from the same folder
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(out.resolve() / "cache"))
    listener = listen(config.host, config.port)
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from exuno.app.page import page, style, theme
    from exuno.app.parts import Desk

    jobs = Jobs(out)
    blocks = page(Desk(out, config.devices, jobs))
    app: Any = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    about = {
        "theme": theme(),
        "head": style(),
        "footer_links": [],
        "ssr_mode": False,
        "allowed_paths": [str(out.resolve())],
    }
    gr.mount_gradio_app(app, blocks, path="", **about)
    hosts = LOOPBACK if config.host in LOOPBACK else ()
    server = uvicorn.Server(
        uvicorn.Config(Guard(app, hosts), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"The page is at {address} (Ctrl-C ends it); what it makes is in {config.out}.", flush=True)
    if not hosts:
        print("Other machines can use it, too, and whoever can use it can run programs on this one.", flush=True)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        jobs.close()
