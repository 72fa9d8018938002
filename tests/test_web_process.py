"""What a web process loads: pages must not wait for what only workers need."""

import subprocess
import sys

LOADED = """
import sys
import annotator.wsgi
from django.urls import get_resolver

def walk(resolver):
    for pattern in getattr(resolver, "url_patterns", ()):
        walk(pattern)

walk(get_resolver())
print(*(name for name in ("torch", "scipy.stats", "sklearn", "pandas", "onnxruntime") if name in sys.modules))
"""


def test_a_web_process_loads_nothing_that_only_workers_need() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
