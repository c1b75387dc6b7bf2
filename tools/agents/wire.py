"""A wire between an agent and the server that hears both sides: bytes pass as
they are, and what was said is read when it is over."""

import http.client
import io
import json
import socket
import threading


class Stream(io.BytesIO):
    """One side of a connection, for http.client to read from again and again."""

    def makefile(self, *_):
        return self

    def close(self):
        pass


class Exchange:
    def __init__(self, method, path, body):
        self.method, self.path, self.raw = method, path, body
        self.status, self.answer, self.cut = None, b"", False

    def body(self):
        try:
            return json.loads(self.raw)
        except ValueError:
            return {}

    def trouble(self):
        """What is against the protocol, or None."""
        if self.status is None:
            return None  # the client left before there was an answer
        if self.method == "GET" and self.status == 404:
            return None  # it looks which kind of server this is
        if not 200 <= self.status < 300:
            return f"{self.method} {self.path}: {self.status} {self.text()[:300]}"
        if not self.body().get("stream"):
            return None
        text = self.text()
        if self.cut:  # the client left: what it had must be right as well
            text = text[:text.rfind("\n\n") + 1]
        what = stream_trouble(
            self.path.split("?")[0], events(text), not self.cut)
        return what and f"{self.method} {self.path}: {what}"

    def text(self):
        return self.answer.decode(errors="replace")


def events(text):
    out = []
    for line in text.splitlines():
        if line.startswith("data: "):
            data = line[6:]
            out.append(data if data == "[DONE]" else json.loads(data))
    return out


def stream_trouble(path, said, ended):
    if not said:
        return "an empty stream" if ended else None
    last = said[-1]
    if any(isinstance(e, dict) and (e.get("error") or e.get("type") == "error")
           for e in said):
        return f"an error in the stream: {json.dumps(last)[:300]}"
    if path.endswith("/messages"):
        kinds = [e["type"] for e in said]
        kinds = [kind for kind in kinds if kind != "ping"] or ["message_start"]
        if kinds[0] != "message_start":
            return f"it begins with {kinds[0]}"
        blocks = (kinds.count("content_block_start") -
                  kinds.count("content_block_stop"))
        if blocks not in ((0,) if ended else (0, 1)):
            return "a content block does not end"
        if ended and kinds[-1] != "message_stop":
            return f"it ends with {kinds[-1]}"
    elif path.endswith("/responses"):
        if ended and last["type"] not in ("response.completed",
                                          "response.incomplete"):
            return f"it ends with {last['type']}"
        numbers = [e["sequence_number"] for e in said]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return "sequence numbers jump"
    elif path.endswith("/completions"):
        if not ended:
            return None
        if last != "[DONE]":
            return "no [DONE]"
        ends = [c.get("finish_reason") for e in said[:-1] for c in e["choices"]]
        if not any(ends):
            return "no finish_reason"
    return None


def read_requests(stream):
    """(method, path, body) of each that came whole."""
    while line := stream.readline().split():
        headers = http.client.parse_headers(stream)
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(stream.readline() or b"0", 16):
                body += stream.read(size)
                stream.readline()
            stream.readline()
        else:
            body = stream.read(int(headers.get("content-length", 0)))
        yield line[0].decode(), line[1].decode(), body


def exchanges(sent, received):
    sent, received = Stream(sent), Stream(received)
    for method, path, body in read_requests(sent):
        one = Exchange(method, path, body)
        reply = http.client.HTTPResponse(received, method=method)
        try:
            reply.begin()
            one.status = reply.status
            one.answer = reply.read()
        except http.client.IncompleteRead as part:
            one.answer, one.cut = part.partial, True
        except (http.client.HTTPException, ValueError, OSError):
            one.cut = True
        yield one


class Wire:
    def __init__(self, port):
        self.to = port
        self.connections = []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            heard = (bytearray(), bytearray())
            self.connections.append(heard)
            for source, target, copy in [(client, server, heard[0]),
                                         (server, client, heard[1])]:
                threading.Thread(target=self.carry, daemon=True,
                                 args=(source, target, copy)).start()

    @staticmethod
    def carry(source, target, copy):
        try:
            while data := source.recv(1 << 16):
                copy += data
                target.sendall(data)
        except OSError:  # one has gone: the other must hear of it
            source.close()
            target.close()
            return
        for end, how in [(target, socket.SHUT_WR), (source, socket.SHUT_RD)]:
            try:
                end.shutdown(how)
            except OSError:
                pass

    def heard(self):
        return [one for sent, received in list(self.connections)
                for one in exchanges(bytes(sent), bytes(received))]

    def close(self):
        self.door.close()
