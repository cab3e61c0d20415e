"""Prints, as JSON, where the distributions named on the command line are installed (their metadata folders)."""

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution

found = {}
for name in sys.argv[1:]:
    try:
        one = distribution(name)
    except PackageNotFoundError:
        continue
    found[name] = {"version": one.version, "metadata": str(getattr(one, "_path", ""))}
print(json.dumps(found))
