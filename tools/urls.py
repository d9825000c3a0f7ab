"""Videos from URLs of hosts the operator names: public addresses, no redirects, limited bytes and time."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Timer
from urllib.parse import urlsplit

from keyframe_llm.tools.limits import Limits, ToolError
from keyframe_llm.tools.sandbox import AllowedFile
from keyframe_llm.tools.text import printable

__all__ = ["Target", "check_url", "download", "fetched"]

# IPv6 hands out public addresses from this block alone; other blocks hold private ones or embed IPv4.
_UNICAST_V6 = ipaddress.ip_network("2000::/3")
# Of IANA's special-purpose registries, what `is_global` lets through in some versions of Python.
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_PORTS = {"http": 80, "https": 443}
_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched, and the address that was checked for it."""

    scheme: str
    host: str
    port: int
    path: str
    address: str
    """The connection goes to this address, even if the name resolves to another one by then."""


def check_url(url: str, hosts: Sequence[str]) -> Target:
    """Check a URL against the hosts allowed, each `name` or `name:port`; raises `ToolError`.

    The host must resolve to public addresses only.
    """
    if not hosts:
        raise ToolError("URLs are switched off here; give the path of a file in the allowed folders")
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise ToolError("the URL cannot be read; give one such as https://host/video.mp4") from None
    if parts.scheme not in _PORTS:
        raise ToolError(f"URLs of {parts.scheme!r} are refused; give one of http or https")
    if parts.username is not None or parts.password is not None:
        raise ToolError("a URL with a user name or password is refused; give one without")
    port = port or _PORTS[parts.scheme]
    usual = port == _PORTS[parts.scheme]
    if f"{host}:{port}" not in hosts and not (usual and host in hosts):
        raise ToolError(f"the host {host}:{port} is not allowed; allowed are {', '.join(hosts)}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(ord(letter) <= 32 for letter in path):
        raise ToolError("the URL holds blanks or letters beyond ASCII; give it percent-encoded")
    return Target(parts.scheme, host, port, path, _public_address(host, port))


def _public_address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ToolError(f"the host {host} has no address; check its name") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not _is_public(address):
            raise ToolError(f"the host {host} is not on the public internet; its videos are not fetched")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.split("%")[0])
    if not ip.is_global or ip.is_multicast or any(ip in network for network in _SPECIAL):
        return False
    return ip.version == 4 or ip in _UNICAST_V6


class _PinnedHTTP(http.client.HTTPConnection):
    def __init__(self, target: Target, seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=min(seconds, _CONNECT_SECONDS))
        self.target = target
        self._socket: socket.socket | None = None
        self.aborted = False

    def connect(self) -> None:
        """Connect to the address that was checked."""
        address = (self.target.address, self.target.port)
        self.sock = self._socket = socket.create_connection(address, self.timeout)
        if self.target.scheme == "https":
            secure = ssl.create_default_context().wrap_socket(
                self._socket, server_hostname=self.target.host, do_handshake_on_connect=False
            )
            self.sock = self._socket = secure
            secure.do_handshake()

    def abort(self) -> None:
        """End whatever is being sent or read; to the reader it looks like the end of the answer."""
        self.aborted = True
        if self._socket is not None:
            with suppress(OSError):  # closed already
                self._socket.shutdown(socket.SHUT_RDWR)


def download(target: Target, path: Path, limits: Limits, check: Callable[[], None]) -> None:
    """Download `target` to `path`; `check` is called between chunks, and raises to stop.

    Raises `ToolError` for a redirect, any status but 200, and more bytes or time than `limits` allow.
    """
    connection = _PinnedHTTP(target, limits.download_seconds)
    # The timer closes the socket at any stage, so slow headers are bounded too.
    timer = Timer(limits.download_seconds, connection.abort)
    timer.daemon = True
    timer.start()
    try:
        connection.request("GET", target.path, headers={"Accept-Encoding": "identity"})
        with connection.getresponse() as response:
            _save(response, path, limits, check)
        if connection.aborted:
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        late = f"took over {limits.download_seconds:g} s"
        why = late if connection.aborted else f"failed ({type(error).__name__})"
        raise ToolError(
            f"the download from {target.host} {why}; try a smaller video or another one"
        ) from None
    finally:
        timer.cancel()
        connection.close()


def _save(response: http.client.HTTPResponse, path: Path, limits: Limits, check: Callable[[], None]) -> None:
    if response.status != 200:
        what = (
            "redirects elsewhere, which is refused" if 300 <= response.status < 400 else "has no video there"
        )
        raise ToolError(f"the server answers {response.status}: it {what}; give the video's own URL")
    too_big = f"the video is larger than the {limits.max_download_bytes:,} bytes allowed; use a smaller copy"
    if (response.length or 0) > limits.max_download_bytes:
        raise ToolError(too_big)
    written = 0
    with path.open("wb") as file:
        while chunk := response.read1(_CHUNK_BYTES):
            check()
            written += len(chunk)
            if written > limits.max_download_bytes:
                raise ToolError(too_big)
            file.write(chunk)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


@contextmanager
def fetched(
    url: str, hosts: Sequence[str], limits: Limits, folder: Path, check: Callable[[], None]
) -> Iterator[AllowedFile]:
    """The video of a URL as a file below `folder`, deleted when the block ends. Raises `ToolError`."""
    target = check_url(url, hosts)
    suffix = PurePosixPath(urlsplit(url).path).suffix
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own_folder:
        path = Path(own_folder) / f"video{suffix if suffix[1:].isalnum() and len(suffix) < 6 else ''}"
        download(target, path, limits, check)
        yield AllowedFile(path, printable(url), lasts=False)
