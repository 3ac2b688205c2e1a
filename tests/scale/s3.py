"""An S3 server on this machine, for tests of object storage, and what stands in front of it and breaks off."""

from __future__ import annotations

import http.client
import json
import logging
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

KEY, SECRET = "AKIATESTTESTTEST0001", "a-secret-that-nobody-may-see"
ROOT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
"""Who may do everything, as long as rights are not asked for."""


@contextmanager
def server() -> Iterator[str]:
    """moto's server in threads of this process; its URL."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.stop()


@contextmanager
def rights_are_asked_for(url: str) -> Iterator[None]:
    """From now on the server refuses what a user's policy does not allow."""

    def count(requests: str) -> None:
        told = {"Content-Type": "text/plain"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", requests.encode(), told, method="POST")):
            pass

    count("0")
    try:
        yield
    finally:
        count("inf")


def user(url: str, name: str, *actions: str) -> dict[str, str]:
    """A user who may do these; as environment variables."""
    import boto3

    iam = boto3.client("iam", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions or ["s3:ListAllMyBuckets"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


Breaks = Callable[[str, str], bool]
"""Whether the answer to a method and a path breaks off in the middle."""


@contextmanager
def breaking(url: str, breaks: Breaks) -> Iterator[str]:
    """A server that passes on what it is asked, and breaks off where it is told to: an upload before it arrives, a download half-way."""
    upstream = url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            broken = breaks(self.command, self.path)
            if broken and self.command == "PUT":
                self.close_connection = True
                return
            connection = http.client.HTTPConnection(upstream)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("server", "date", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if broken else content)
            self.close_connection = self.close_connection or broken
            connection.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 as the server asks for them

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
