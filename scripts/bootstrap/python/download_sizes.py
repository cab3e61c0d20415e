"""Reads a list of addresses (JSON) on stdin and prints the bytes of each (JSON, null where unknown)."""

import json
import os
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlparse

TIMEOUT_S = 8


def size_of(address):
    try:
        parts = urlparse(address)
        if parts.scheme == "file":
            return os.path.getsize(unquote(parts.path))
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            return int(length) if length else None
    except Exception:  # noqa: BLE001  a size is a courtesy; unknown is an answer
        return None


with ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(size_of, json.load(sys.stdin)))))
