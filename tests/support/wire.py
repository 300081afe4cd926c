"""HTTP as it goes over a connection, for peers that misbehave there."""

from io import BufferedIOBase


def read_message(stream: BufferedIOBase) -> bytes:
    """The next request or answer as it comes; nothing, once the connection is closed."""
    head = list[bytes]()
    while (line := stream.readline()) != b"\r\n":
        if not line:
            return b""
        head.append(line)
    lengths = [line for line in head if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    return b"".join([*head, b"\r\n", stream.read(length)])
