"""What sage-infer costs on top of vLLM: its adapter, its server, its start. See README.md beside this file."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this file, as a package

from benchmarks import reporting
from benchmarks.engine_settings import QUIET, EngineSettings, Launch, describe
from benchmarks.pairing import Point
from benchmarks.vllm_parts import PARTS, OutputsDifferError, Plan
from sage_infer.models import resolve_model


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("part", nargs="?", default="all", choices=[*PARTS, "all"])
    add("--llm", default="demo", help="model, as sage infer serve takes it (%(default)s)")
    add("--repeats", type=int, default=10, help="pairs of rounds per load (%(default)s)")
    add("--startup-repeats", type=int, default=3, help="pairs of starts (%(default)s)")
    add("--concurrency", type=_numbers, default=[1, 8, 32], metavar="N,N", help="(1,8,32)")
    add(
        "--prompt-tokens",
        type=_numbers,
        default=[32, 128, 512, 1024],
        metavar="N,N",
        help="(32,128,512,1024)",
    )
    add("--max-load-tokens", type=int, default=4096, help="leave out loads with more prompt tokens at once")
    add("--output-tokens", type=int, default=32, help="of every request, at least 2 (%(default)s)")
    add("--eager", action="store_true", help="without compiled graphs")
    add("--isolation", choices=("process", "inline"), default="process", help="of our server (%(default)s)")
    add("--seed", type=int, default=1)
    add("--json", type=Path, metavar="FILE", help="write everything, every sample included")
    return parser.parse_args()


def _plan(arguments: argparse.Namespace) -> Plan:
    settings = EngineSettings(
        arguments.llm, resolve_model(arguments.llm), arguments.eager, isolation=arguments.isolation
    )
    points = tuple(
        Point(concurrency, length)
        for concurrency in arguments.concurrency
        for length in arguments.prompt_tokens
        if concurrency * length <= arguments.max_load_tokens
    )
    if not points or arguments.output_tokens < 2 or min(arguments.repeats, arguments.startup_repeats) < 1:
        raise SystemExit("nothing to measure: at least one load, one repeat and two output tokens are needed")
    return Plan(
        settings,
        Launch.of(settings),
        points,
        arguments.repeats,
        arguments.startup_repeats,
        arguments.output_tokens,
        arguments.seed,
    )


def main() -> int:
    """Run what was asked for; 1 if the arms disagree about a greedy output."""
    arguments = _arguments()
    # Python's default would end this process at once, and leave servers running behind it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.update(QUIET)
    plan = _plan(arguments)
    shown = describe(plan.settings, plan.launch) | {
        "workload": f"greedy, {plan.output_tokens} output tokens, prompts of random ids from seed {plan.seed}"
    }
    print(reporting.settings_text(shown), flush=True)
    kept: dict[str, object] = {"settings": shown}
    for name in PARTS if arguments.part == "all" else (arguments.part,):
        try:
            part = PARTS[name](plan)
        except OutputsDifferError as error:
            print(f"\n{name}: the arms give different greedy outputs, so nothing was measured: {error}")
            return 1
        kept[name] = part.data
        print(f"\n{part.text}", flush=True)
        if arguments.json is not None:  # after each part, so that a later failure loses nothing
            arguments.json.write_text(json.dumps(kept, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
