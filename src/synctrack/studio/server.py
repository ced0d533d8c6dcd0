"""The studio's server: Gradio's application with our own routes for uploads, stems and zip files."""

import contextlib
import json
import os
import time
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import gradio
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from synctrack.errors import InputError
from synctrack.generation.song import SONG_FILE
from synctrack.report.page.write import player_script, player_style
from synctrack.studio.handlers import Handlers
from synctrack.studio.page import Page
from synctrack.studio.sessions import Session, Take
from synctrack.studio.uploads import take_upload
from synctrack.studio.words import score_lines, stem_beats
from synctrack.studio.workbench import Workbench, known_scores

LOOPBACK = ("127.0.0.1", "localhost")
READING = ("GET", "HEAD", "OPTIONS")
REFUSED = ("/gradio_api/upload", "/gradio_api/component_server", "/gradio_api/proxy")
"""Routes of Gradio that are not served: files are taken up by ours alone."""


class Studio:
    """A running studio.

    Args:
        bench: does the work.
        host: address to listen on.
        port: to listen on.
        share: whether Gradio opens a public address as well.

    Attributes:
        address: of the page.

    Raises:
        InputError: the port is taken, or the public address could not be opened.
    """

    def __init__(self, bench: Workbench, host: str = "127.0.0.1", port: int = 7860, share: bool = False) -> None:
        self.bench = bench
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio writes nothing there, but it makes the folder of its uploads.
        os.environ["GRADIO_TEMP_DIR"] = str(bench.root / ".gradio")
        private = host in LOOPBACK and not share
        self.blocks = Page(Handlers(bench, private), bench.model.stems).blocks
        middleware = [Middleware(Refuse)]
        if private:
            # Pages of other sites must not reach this one by a name of theirs that leads to this machine.
            middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK)))
        # Gradio asks its own page whether it is there, which a proxy does not know.
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join(filter(None, [os.environ.get(name), host, *LOOPBACK]))
        self.blocks.queue(default_concurrency_limit=None, api_open=False)
        try:
            _, local, public = self.blocks.launch(
                server_name=host,
                server_port=port,
                share=share,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                footer_links=[],
                theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
                css=player_style() + _asset("studio.css"),
                head=f'<script type="module">{player_script()}\n{_asset("studio.js")}</script>',
                app_kwargs={"routes": _routes(bench), "middleware": middleware},
                max_file_size=1,
            )
        except Exception as error:
            # Gradio has no error of its own for an address that is not this machine's, a port that is taken, or a
            # page that it cannot reach itself.
            reason = " ".join(str(error).split())
            raise InputError(
                f"--host {host} --port {port}: cannot be listened on ({reason}); choose another"
            ) from error
        if share and not public:
            raise InputError("--share on: Gradio could not open a public address; is there a network?")
        self.address = public or local

    def wait(self) -> None:
        """Serve until the program is interrupted."""
        while True:
            time.sleep(3600)

    def close(self) -> None:
        """Stop the jobs and the server."""
        self.bench.close()
        self.blocks.close(verbose=False)


class Refuse:
    """Middleware that answers 404 on routes that the studio does not use, and 403 to what pages of other sites send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(part in scope["path"] for part in REFUSED):
            await Response(status_code=404)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] not in READING and _is_foreign(Headers(scope=scope)):
            await Response(status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another site sends a request: browsers say so, and other programs say nothing."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _routes(bench: Workbench) -> list[Route]:
    def session_of(request: Request) -> Session:
        return bench.session(request.path_params["session"])

    def take_of(request: Request) -> tuple[Session, Take]:
        session = session_of(request)
        return session, session.take(request.path_params["number"])

    async def upload(request: Request) -> Response:
        query = request.query_params
        chunks, limit = request.stream(), bench.max_seconds
        try:
            found = await take_upload(session_of(request), query.get("kind", ""), query.get("name", ""), chunks, limit)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 400)
        except ClientDisconnect:
            # Nobody is there to read an answer.
            return Response(status_code=400)
        return JSONResponse({"token": found.token, "text": found.text})

    def player(request: Request) -> Response:
        try:
            session, take = take_of(request)
            return JSONResponse(describe(session, take))
        except InputError as error:
            return JSONResponse({"error": str(error)}, 404)

    def stem(request: Request) -> Response:
        try:
            _, take = take_of(request)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 404)
        name = request.path_params["stem"]
        path = take.song_folder / f"{name}.wav"
        return FileResponse(path) if name in take.stems and path.is_file() else Response(status_code=404)

    def bundle(request: Request) -> Response:
        try:
            session, take = take_of(request)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 404)
        path = session.folder / "bundles" / f"{take.number:04d}.zip"
        return FileResponse(path, filename=f"take_{path.name}") if path.is_file() else Response(status_code=404)

    return [
        Route("/studio/{session}/uploads", upload, methods=["POST"]),
        Route("/studio/{session}/takes/{number:int}/player.json", player),
        Route("/studio/{session}/takes/{number:int}/{stem}.wav", stem),
        Route("/studio/{session}/bundles/{number:int}.zip", bundle),
    ]


def describe(session: Session, take: Take) -> dict[str, Any]:
    """A take as the player's `song` (see player.js), with `take`, `notes` and `scores`, lines or None.

    Its target is the take before, where that has the same stems.

    Raises:
        InputError: the take's `song.json` is gone or damaged.
    """
    rate, beats, downbeats = _facts(take)
    song: dict[str, Any] = {"name": take.title, "take": take.number, "notes": list(take.notes), "scores": None}
    song |= {"stems": _urls(session, take), "rate": rate}
    if take.before is not None:
        with contextlib.suppress(InputError):
            song["target"] = _urls(session, session.take(take.before))
    song |= {"downbeats": downbeats, "beats": dict.fromkeys(take.stems, beats)}
    scores = known_scores(take)
    if scores is not None:
        song["scores"] = score_lines(scores)
        song["beats"] = stem_beats(scores)
    return song


def _facts(take: Take) -> tuple[int, list[float], list[float]]:
    """Sample rate in Hz, beats and downbeats in seconds."""
    try:
        facts = json.loads((take.song_folder / SONG_FILE).read_text())
        beats = facts.get("beats", {"beats": [], "downbeats": []})
        return facts["sample_rate"], beats["beats"], beats["downbeats"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"take {take.number}: its song.json is gone or damaged; choose another take") from error


def _urls(session: Session, take: Take) -> dict[str, str]:
    return {stem: f"studio/{session.name}/takes/{take.number}/{quote(stem)}.wav" for stem in take.stems}


def _asset(name: str) -> str:
    return resources.files("synctrack.studio").joinpath(name).read_text(encoding="utf-8")


def folder_for(root: str | Path) -> Path:
    """The folder of the sessions, made. Raises InputError where that cannot be done."""
    root = Path(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: cannot be made ({error.strerror}); choose another --out") from error
    return root
