"""Episodic algorithms against a plain autograd loop, and learn2learn where it is installed, side by side in one run.

    python bench/episodic.py [--rounds 15] [--episodes 4]

Times are CPU seconds of this process with one thread, the median of `--rounds` rounds; in each round every contender
runs once, in turn, so that whatever else the machine does hits all of them. Memory is the growth of the process's peak
over one outer gradient, each contender in a process of its own.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from metalearning import anil, maml
from metalearning.episodes import Episode, Examples, stack_alike
from metalearning.networks import Params, conv4, embeddings, init_conv4, init_head, init_mlp, leaves, mlp

STEPS, RATE = 5, 0.05
Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--episodes", type=int, default=4)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print(json.dumps(_memory(options.memory_of, options.episodes)))
        return
    print(f"torch {torch.__version__}, one thread, {options.episodes} episodes per outer gradient, {STEPS} inner steps")
    columns = ["case", "contender", "CPU ms (median)", "times the plain loop's speed", "times learn2learn's"]
    columns += ["peak memory, MiB", "of tensors"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for case, contenders in cases(options.episodes).items():
        seconds = _race(contenders, options.rounds)
        for name, taken in seconds.items():
            memory = _memory_in_a_fresh_process(f"{case}/{name}", options.episodes)
            gains = (seconds.get(peer, math.nan) / taken for peer in ("plain loop", "learn2learn"))
            figures = " | ".join(f"{figure:.2f}" for figure in (*gains, *memory))
            print(f"| {case} | {name} | {1000 * taken:.1f} | {figures} |", flush=True)


def cases(count: int) -> dict[str, dict[str, Run]]:
    """The contenders of each case; all of one case compute the same gradient, bfloat16 up to its rounding."""
    generator = torch.Generator().manual_seed(0)
    # The Omniglot network, 5-way 5-shot with 15 queries a class; a small MLP and a head on embeddings, 10-way 5-shot.
    images = [_episode((1, 28, 28), 5, 5, 15, generator) for _ in range(count)]
    vectors = [_episode((64,), 10, 5, 15, generator) for _ in range(8 * count)]
    texts = [_episode((384,), 10, 5, 15, generator) for _ in range(8 * count)]
    # Stacked beforehand, as a sampler of stacks draws them: the data are nobody's working memory.
    stacks, headed = list(stack_alike(vectors)), list(stack_alike(texts))
    conv, small, head = init_conv4(1, 64, generator, 5), init_mlp((64, 64, 64), generator, 10), init_head(384, 10)
    settings: dict[str, Any] = {"rate": RATE, "steps": STEPS}
    found: dict[str, dict[str, Run]] = {
        "Conv-4 MAML": {
            "plain loop": lambda: _plain(conv, images, conv_forward, list(conv)),
            "metalearning": lambda: maml.meta_grad(conv, images, conv4, **settings),
            "metalearning, query in bfloat16": lambda: maml.meta_grad(
                conv, images, conv4, **settings, query_dtype=torch.bfloat16
            ),
            "metalearning, query in the faster": lambda: maml.meta_grad(
                conv, images, conv4, **settings, query_dtype="fastest"
            ),
        },
        "MLP MAML": {
            "plain loop": lambda: _plain(small, vectors, mlp_forward, list(small)),
            "metalearning": lambda: maml.meta_grad(small, stacks, mlp, **settings),
        },
        "ANIL head": {
            "plain loop": lambda: _plain(head, texts, head_forward, list(head)),
            "metalearning": lambda: anil.meta_grad(head, headed, embeddings, **settings),
        },
    }
    _add_learn2learn(found, images, vectors, texts)
    return found


def _episode(shape: tuple[int, ...], way: int, shot: int, queries: int, generator: torch.Generator) -> Episode:
    def some(items: int) -> Examples:
        return Examples(torch.randn(way * items, *shape, generator=generator), torch.arange(way).repeat(items))

    return Episode(some(shot), some(queries), outputs=way)


# The plain loop: what anyone would write first ----------------------------------------------------------------------


def conv_forward(params: Params, images: Tensor) -> Tensor:
    hidden = images
    for block in range(4):
        hidden = F.conv2d(hidden, params[f"body.{block}.weight"], stride=2, padding=1)
        scale, shift = params[f"body.{block}.scale"], params[f"body.{block}.shift"]
        hidden = F.relu(F.batch_norm(hidden, None, None, scale, shift, training=True))
    return head_forward(params, hidden.mean((2, 3)))


def mlp_forward(params: Params, inputs: Tensor) -> Tensor:
    hidden = inputs
    for layer in range(2):
        hidden = F.relu(F.linear(hidden, params[f"body.{layer}.weight"], params[f"body.{layer}.bias"]))
    return head_forward(params, hidden)


def head_forward(params: Params, inputs: Tensor) -> Tensor:
    return F.linear(inputs, params["head.weight"], params["head.bias"])


def _plain(
    params: Params, episodes: Sequence[Episode], forward: Callable[[Params, Tensor], Tensor], names: Sequence[str]
) -> Params:
    theta = leaves(params)
    total = {name: torch.zeros_like(value) for name, value in theta.items()}
    for episode in episodes:
        fast = dict(theta)
        for _ in range(STEPS):
            loss = F.cross_entropy(forward(fast, episode.support.inputs), episode.support.targets)
            grads = torch.autograd.grad(loss, [fast[name] for name in names], create_graph=True)
            fast |= {name: fast[name] - RATE * grad for name, grad in zip(names, grads, strict=True)}
        loss = F.cross_entropy(forward(fast, episode.query.inputs), episode.query.targets) / len(episodes)
        for name, grad in zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True):
            total[name] += grad
    return total


# learn2learn, if somebody installed it (it is unmaintained, and no dependency) --------------------------------------


def _add_learn2learn(
    found: dict[str, dict[str, Run]], images: list[Episode], vectors: list[Episode], texts: list[Episode]
) -> None:
    try:
        import learn2learn
    except ImportError as error:
        print(f"learn2learn is left out: {error}", file=sys.stderr)
        return
    layers: list[nn.Module] = []
    for block in range(4):
        layers += [nn.Conv2d(1 if block == 0 else 64, 64, 3, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(64, track_running_stats=False), nn.ReLU()]
    conv = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5))
    small = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def run(network: nn.Module, episodes: Sequence[Episode]) -> Run:
        learner = learn2learn.algorithms.MAML(network, lr=RATE, first_order=False)

        def once() -> None:
            for episode in episodes:
                clone = learner.clone()
                for _ in range(STEPS):
                    clone.adapt(F.cross_entropy(clone(episode.support.inputs), episode.support.targets))
                loss = F.cross_entropy(clone(episode.query.inputs), episode.query.targets)
                (loss / len(episodes)).backward()

        return once

    found["Conv-4 MAML"]["learn2learn"] = run(conv, images)
    found["MLP MAML"]["learn2learn"] = run(small, vectors)
    found["ANIL head"]["learn2learn"] = run(nn.Linear(384, 10), texts)


# Measuring ----------------------------------------------------------------------------------------------------------


def _race(contenders: dict[str, Run], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            begin = time.process_time()
            run()
            if number:  # the first round warms up
                taken[name].append(time.process_time() - begin)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _memory(which: str, count: int) -> tuple[float, float]:
    """MiB at the peak of an outer gradient: what it adds to the resident memory, and what its tensors take.

    The first is what the machine sees, in steps of some tenths of a MiB; the second is exact, and without the
    libraries' own scratch memory. Linux only. The first gradient of the process warms up and is not counted.
    """
    case, name = which.split("/")
    run = cases(count)[case][name]
    run()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # or the second run finds its memory in what the first one left
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of importing and warming up
    before = _status("VmRSS")
    run()
    resident = (_status("VmHWM") - before) / 1024
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return resident, max(taken) / 2**20


def _status(key: str) -> int:
    """A line of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def _memory_in_a_fresh_process(which: str, count: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--memory-of", which, "--episodes", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    resident, of_tensors = json.loads(done.stdout.splitlines()[-1])
    return resident, of_tensors


if __name__ == "__main__":
    main()
