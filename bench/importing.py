"""Importing and exporting: CPU seconds and peak memory, on a database of its own. By hand: `python bench/importing.py`.

Each line is measured in a process of its own: rows of twelve words with an id and one of 77 labels, imported without
labels, as a hidden reference and as answers; then all of them exported in each format.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
WORDS = [f"word{n}" for n in range(3_000)]
HOW = ("ignore", "reference", "answers")


def write_csv(path: Path, rows: int) -> None:
    """The file to import."""
    chance = random.Random(0)
    with path.open("w") as file:
        file.write("id,text,label\n")
        for number in range(rows):
            file.write(f"{number},{' '.join(chance.choices(WORDS, k=12))},label {number % 77}\n")


def cost(began: float) -> dict[str, float]:
    """CPU seconds since `began`, and the most memory this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_seconds": round(time.process_time() - began, 2), "memory_peak_mb": round(peak)}


def begin(path: str) -> dict[str, Any]:
    """Make the database and one project for each way to treat labels."""
    from django.core.files import File
    from django.core.management import call_command
    from django.utils import timezone

    from labeling import dispatch, formats
    from labeling.flow import founding, receiving
    from labeling.models import User

    call_command("migrate", verbosity=0, interactive=False)
    owner = User.objects.create_superuser("owner")
    jobs = {}
    with dispatch.held_back():
        for how in HOW:
            project = founding.found(creator=owner, name=how, modality="text")
            with open(path, "rb") as file:
                upload = receiving.keep(project=project, file=File(file, "a.csv"), by=owner, now=timezone.now())
            choices = receiving.Choices(formats.Given(), labels=how)
            jobs[how] = receiving.begin(project=project, upload=upload, choices=choices, by=owner).pk
    return jobs


def bring_in(job_id: str) -> dict[str, Any]:
    """Run one import."""
    from labeling import jobs
    from labeling.flow import importing
    from labeling.models import Job

    job = Job.objects.select_related("project").get(pk=job_id)
    began = time.process_time()
    importing.run(job, jobs.Progress(job))
    return {"import": job.arguments["labels"], "rows": job.result["added"]} | cost(began)


def take_out(format: str) -> dict[str, Any]:
    """Export the project whose labels are answers."""
    from labeling.flow import exporting
    from labeling.models import Project

    project = Project.objects.get(name="answers")
    began = time.process_time()
    with tempfile.TemporaryFile() as out:
        rows = exporting.write(project, exporting.Options(format), out)
    return {"export": format, "rows": rows} | cost(began)


def apart(environment: dict[str, str], *words: str) -> Any:
    """One measurement, in a process of its own."""
    command = [sys.executable, __file__, "--one", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Everything at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--one", nargs=2)
    given = parser.parse_args()
    if given.one:
        import django

        django.setup()
        steps = {"begin": begin, "import": bring_in, "export": take_out}
        print(json.dumps(steps[given.one[0]](given.one[1])))
        return
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.csv"
            write_csv(path, rows)
            environment = os.environ | {
                "DJANGO_SETTINGS_MODULE": "annotator.settings",
                "ANNOTATOR_DATA_DIR": folder,
                "REDIS_URL": f"redis+socket://{folder}/none",
            }
            jobs = apart(environment, "begin", str(path))
            for how in HOW:
                print(json.dumps(apart(environment, "import", str(jobs[how]))), flush=True)
            for format in ("csv", "jsonl", "parquet", "huggingface", "label_studio"):
                print(json.dumps(apart(environment, "export", format)), flush=True)


if __name__ == "__main__":
    main()
