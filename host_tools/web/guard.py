"""What stands before every page: which names the kiosk answers to, who may send forms, and what browsers are told."""

import contextlib
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_ADDRESSES = frozenset({"127.0.0.1", "::1"})
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
LONGEST_LIST = 21_000_000  # a staff list, and the rest of its form
LONGEST_FORM = 64_000  # any other form
_UTF_8 = (b"utf-8", b"utf8")
_SAFE = ("GET", "HEAD")

HEADERS = {
    # Scripts, styles and pictures from the kiosk alone, none inline; nobody frames its pages.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=(), bluetooth=()",
}


def local(request: Request) -> bool:
    """Does the request come from the kiosk's own browser, and not through a proxy beside it?"""
    client = request.client.host if request.client else ""
    return client in LOCAL_ADDRESSES and not any(name in request.headers for name in _FORWARDED)


def address_of(request: Request) -> str:
    """Where the browser is; behind a proxy on this machine, what that says, which it says last."""
    client = request.client.host if request.client else ""
    said = request.headers.getlist("x-forwarded-for")
    return said[-1].rpartition(",")[2].strip()[:64] if said and client in LOCAL_ADDRESSES else client


def encrypted(request: Request) -> bool:
    """Does the browser speak to the kiosk, or to a proxy on this machine, under a certificate?"""
    client = request.client.host if request.client else ""
    said = request.headers.get("x-forwarded-proto") if client in LOCAL_ADDRESSES else None
    return "https" in (request.url.scheme, said)


class Guard:
    """ASGI middleware.

    Args:
        names: host names besides the local ones under which the kiosk is reached.
        list_path: the one page that takes a staff list.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], list_path: str) -> None:
        self._app = app
        self._list_path = list_path
        self._names = LOCAL_NAMES | names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        with contextlib.suppress(ClientDisconnect):  # nobody waits for an answer
            await (refusal or self._app)(scope, receive, send_on)

    def _refusal(self, method: str, path: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if part(f"//{host}", "hostname") not in self._names:
            # A foreign name that leads here (DNS rebinding) gets nothing.
            return PlainTextResponse("The kiosk is not called so. Name it with --name.", 421)
        if method in _SAFE:
            return None
        if part(headers.get("origin", ""), "netloc") != host:
            return PlainTextResponse("Forms of other sites are not taken.", 403)
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            return PlainTextResponse("The length must be told first.", 411)
        if len(length) > 9 or int(length) > (LONGEST_LIST if path == self._list_path else LONGEST_FORM):
            return PlainTextResponse("This is too long.", 413)
        _, options = parse_options_header(headers.get("content-type"))
        if options.get(b"charset", b"utf-8").lower() not in _UTF_8:
            # Python would read it in any encoding that it knows: some take minutes, some make what is no text.
            return PlainTextResponse("Forms are in UTF-8.", 415)
        return None


def part(url: str, name: str) -> str | None:
    """A part of a URL that anybody may have written, by urlsplit's name for it; None where it makes no sense."""
    try:
        return getattr(urlsplit(url), name)
    except ValueError:
        return None
