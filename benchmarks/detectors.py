"""What a detector costs beyond its tools: every installed one, on its own recorded machines of eight devices and more.

Tools answer at once from the recording, so what is left is the detector: importing it, and looking. Each look is in a
fresh process, in turns over all machines; the clock starts when the interpreter and the contract are loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from platform import platform, python_version
from statistics import median
from typing import Any

import attrs

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing import RecordedMachine, Subject

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this file, as a package

from benchmarks.measuring import progress
from benchmarks.reporting import settings_text, table

TARGET_MS = 50.0
LATER_LOOKS = 5
CHILD = f"""
import json, sys, time
from importlib import import_module
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import ProbeRecording
module, name = sys.argv[1:3]
probe = ProbeRecording.model_validate_json(sys.stdin.buffer.read()).replay()
began = time.perf_counter()
detector = getattr(import_module(module), name)()
imported = time.perf_counter()
report = detector.detect(probe)
looked = time.perf_counter()
for _ in range({LATER_LOOKS}):
    detector.detect(probe)
again = (time.perf_counter() - looked) / {LATER_LOOKS}
print(json.dumps([imported - began, looked - imported, again, len(report.accelerators)]))
"""


@attrs.define
class Case:
    """One detector on one machine, and the times of each fresh process in milliseconds."""

    detector: str
    distribution: str
    machine: str
    module: str
    attribute: str
    recording: ProbeRecording
    devices: int = 0
    import_ms: list[float] = attrs.field(factory=list)
    first_ms: list[float] = attrs.field(factory=list)
    later_ms: list[float] = attrs.field(factory=list)

    def look(self) -> None:
        """Import the detector and look, in a fresh process."""
        command = [sys.executable, "-c", CHILD, self.module, self.attribute]
        question = self.recording.model_dump_json().encode()
        answer = subprocess.run(command, input=question, check=True, capture_output=True, timeout=60).stdout
        imported_s, first_s, later_s, self.devices = json.loads(answer)
        self.import_ms.append(imported_s * 1e3)
        self.first_ms.append(first_s * 1e3)
        self.later_ms.append(later_s * 1e3)

    @property
    def cost_ms(self) -> float:
        """Importing and the first look together, which is the target read strictly; the median over processes."""
        return median(map(sum, zip(self.import_ms, self.first_ms, strict=True)))


def cases(least_devices: int) -> Iterator[Case]:
    """Yield the machines with at least so many devices, of every detector subject that is installed."""
    for entry in sorted(entry_points(group="sage_infer.conformance.v1"), key=lambda one: one.name):
        subject = entry.load()
        if not isinstance(subject, Subject) or subject.kind != "detector" or subject.fixtures is None:
            continue
        made: Any = subject.create
        owner = entry.dist.name if entry.dist is not None else "unknown"
        for name, machine in subject.fixtures().items():
            if isinstance(machine, RecordedMachine) and (machine.devices or 0) >= least_devices:
                yield Case(entry.name, owner, name, made.__module__, made.__qualname__, machine.recording)


def row(case: Case) -> list[str]:
    """Return a line of the table."""
    medians = [f"{median(values):.1f}" for values in (case.import_ms, case.first_ms, case.later_ms)]
    costs = (median(case.first_ms), case.cost_ms)
    verdicts = ["within" if cost <= TARGET_MS else "outside" for cost in costs]
    figures = [*medians[:2], verdicts[0], medians[2], f"{case.cost_ms:.1f}", verdicts[1]]
    return [case.detector, case.machine, str(case.devices), *figures]


def main() -> int:
    """Measure, print the table, and keep every sample where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes per machine")
    parser.add_argument("--least-devices", type=int, default=8)
    parser.add_argument("--json", type=Path, help="also write every sample here")
    arguments = parser.parse_args()
    found = list(cases(arguments.least_devices))
    if not found or arguments.repeats < 1:
        raise SystemExit("nothing to measure: no detector with such a machine is installed, or no repeats")
    for turn in range(arguments.repeats):
        for case in found if turn % 2 == 0 else found[::-1]:
            progress(f"{turn + 1}/{arguments.repeats} {case.detector}: {case.machine}")
            case.look()
    settings = {
        "system": f"{platform()}, Python {python_version()}",
        "versions": ", ".join(
            f"{name} {version(name)}"
            for name in sorted({"sage-infer-contracts", *(one.distribution for one in found)})
        ),
        "workload": f"recorded machines of {arguments.least_devices} devices and more; tools answer at once",
        "measured": f"medians of {arguments.repeats} fresh processes; later: {LATER_LOOKS} looks in the same one",
    }
    head = ["detector", "machine", "devices", "import ms", "look ms", "50 ms", "later ms", "both ms", "50 ms"]
    print(settings_text(settings))
    print(table(head, [row(case) for case in found]))
    if arguments.json is not None:
        kept = [attrs.asdict(case, filter=lambda field, _: field.name != "recording") for case in found]
        arguments.json.write_text(json.dumps({"settings": settings, "cases": kept}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
