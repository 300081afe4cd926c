"""A web server that is not what somebody thinks: it redirects, refuses, knows nothing, or hands on to Prefect."""

import asyncio
from collections.abc import Callable

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from smsretry.adapters.certificates import trusted


def elsewhere(prefect: Callable[[], str], *, seconds: Callable[[], float]) -> Starlette:
    """The app.

    Args:
        prefect: the address of a Prefect server, to which it hands on what comes to `/prefect` and `/prefect-2`.
        seconds: how late each of those answers is.
    """

    async def handed_on(request: Request) -> Response:
        await asyncio.sleep(seconds())
        async with httpx.AsyncClient(verify=trusted(), timeout=30) as http:
            address = f"{prefect()}/{request.path_params['rest']}"
            answer = await http.request(request.method, address, content=await request.body())
        kept = {name: answer.headers[name] for name in ("content-type", "date") if name in answer.headers}
        return Response(answer.content, answer.status_code, kept)

    async def version(_: Request) -> Response:
        return JSONResponse("2.20.1")

    async def moved(request: Request) -> Response:
        return RedirectResponse("https://elsewhere.example/api", 307)

    def answering(status: int) -> Callable[[Request], Response]:
        return lambda _: Response(status_code=status)

    every = ["GET", "HEAD", "POST"]
    return Starlette(
        routes=[
            Route("/prefect-2/api/admin/version", version),
            Route("/prefect-2/{rest:path}", handed_on, methods=every),
            Route("/prefect/{rest:path}", handed_on, methods=every),
            Route("/moved/{rest:path}", moved, methods=every),
            Route("/locked", answering(401), methods=every),
            Route("/broken/{rest:path}", answering(503), methods=every),
            Route("/fine", answering(204), methods=every),
        ]
    )
