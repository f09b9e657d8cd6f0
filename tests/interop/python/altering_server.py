"""Serves a log (a folder, or another server) on a free loopback port, as it is and altered.

    GET /<path>                  the log's bytes
    GET /altered/<what>/<path>   the same, but for one byte of:
        checkpoint               the tree size (its signature must fail)
        tile                     the first hash of every level-0 tile
        entries                  the last entry of every entry bundle
        nothing                  none: the control

Every reader under test is pointed at /altered/... too: it has to accept "nothing" and refuse the others.
The first line on stdout is the port.
"""

import pathlib
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOURCE = sys.argv[1].rstrip("/")


def read_source(path):
    if SOURCE.startswith("http"):
        try:
            with urllib.request.urlopen(f"{SOURCE}/{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
    file = pathlib.Path(SOURCE, path)
    return (200, file.read_bytes()) if file.is_file() else (404, b"not found\n")


def flip(data, position):
    altered = bytearray(data)
    altered[position] ^= 1
    return bytes(altered)


def alter(what, path, data):
    if what == "checkpoint" and path == "checkpoint":
        return flip(data, data.index(b"\n", data.index(b"\n") + 1) - 1)
    if what == "tile" and path.startswith("tile/0/"):
        return flip(data, 0)
    if what == "entries" and path.startswith("tile/entries/"):
        return flip(data, -1)
    return data


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path, what = self.path.lstrip("/"), ""
        if path.startswith("altered/"):
            _, what, path = path.split("/", 2)
        status, data = read_source(path)
        if status == 200:
            data = alter(what, path, data)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
