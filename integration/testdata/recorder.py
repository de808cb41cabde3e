"""A server on h11 that records requests, as recorder.mjs does."""

import json
import socket
import socketserver
import threading

import h11

lock = threading.Lock()
journal = {}
count = 0


def text(b):
    return bytes(b).decode("latin-1")


def pairs(headers):
    return [[text(name), text(value)] for name, value in headers.raw_items()]


def record(peer, request, body, trailers):
    """Returns the record, with its number."""
    global count
    forwarded = [text(value) for name, value in request.headers if name == b"x-forwarded-for"]
    with lock:
        count += 1
        entry = {
            "id": count,
            "method": text(request.method),
            "target": text(request.target),
            "fields": pairs(request.headers),
            "body": text(body),
            "trailers": pairs(trailers),
        }
        journal.setdefault(forwarded[-1] if peer == "127.0.0.1" and forwarded else peer, []).append(entry)
    return entry


class Handler(socketserver.BaseRequestHandler):
    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.http = h11.Connection(h11.SERVER)

    def event(self):
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                self.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self.http.receive_data(self.request.recv(1 << 16))
        return event

    def send(self, *events):
        self.request.sendall(b"".join(self.http.send(event) or b"" for event in events))

    def answer(self, request, headers, body):
        data = [] if request.method == b"HEAD" else [h11.Data(data=body)]
        self.send(h11.Response(status_code=200, headers=headers, reason=b"OK"), *data, h11.EndOfMessage())

    def exchange(self):
        """Reads and answers one request. It is false if no other one follows."""
        request = self.event()
        if type(request) is not h11.Request or request.method == b"CONNECT":
            return False
        body, end = bytearray(), self.event()
        while type(end) is h11.Data:
            body += end.data
            end = self.event()
        prefix = "/.recorded/"
        if text(request.target).startswith(prefix):
            client = text(request.target)[len(prefix) :]
            with lock:
                out = json.dumps(journal.pop(client, []) if client else journal)
            self.answer(request, [], out.encode())
        else:
            entry = record(self.client_address[0], request, body, end.headers)
            out = json.dumps(entry).encode()
            headers = [(b"X-Recorded", f"{entry['id']} {entry['method']}".encode())]
            if entry["id"] % 2:
                headers.append((b"Content-Length", str(len(out)).encode()))
            self.answer(request, headers, out)
        if self.http.our_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        return True

    def handle(self):
        try:
            try:
                while self.exchange():
                    pass
            except h11.RemoteProtocolError as error:
                if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                    headers = [(b"Content-Length", b"0"), (b"Connection", b"close"), (b"X-Refused", str(error).encode())]
                    self.send(h11.Response(status_code=error.error_status_hint, headers=headers), h11.EndOfMessage())
            self.request.shutdown(socket.SHUT_WR)
            while self.request.recv(1 << 16):  # or the rest would destroy the answer
                pass
        except OSError:
            pass  # the client is gone


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print("%s:%d" % server.server_address, flush=True)
server.serve_forever()
