"""Tells the bootstrap about the Python that runs it, as one line of JSON. Runs on any Python 3."""

import importlib.util
import json
import os
import sys

torch = None
spec = importlib.util.find_spec("torch")
if spec is not None and spec.origin:
    try:
        from importlib.metadata import version

        torch = {"version": version("torch"), "folder": os.path.dirname(os.path.dirname(spec.origin))}
    except Exception:  # noqa: BLE001  a torch without metadata is none we could build on
        torch = None

print(
    json.dumps(
        {
            "version": ".".join(str(part) for part in sys.version_info[:3]),
            "executable": sys.executable,
            "prefix": sys.prefix,
            "torch": torch,
            "venv": importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None,
        }
    )
)
