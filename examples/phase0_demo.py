"""ControlPlaneManager -> InferenceBackend -> engine, in one script and without a server.

    python examples/phase0_demo.py [--backend torch] [--llm demo] [--isolation process] [--dtype auto]

The backend is found by name through its entry point. The script never calls it: every request goes through the
control plane, which picks the instance, queues, measures and cancels.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sage_infer.backends import open_backend
from sage_infer.control_plane.manager import ControlPlaneManager
from sage_infer.control_plane.requests import GenerateRequest
from sage_infer.models import resolve_model
from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.sampling import SamplingParams

QUESTIONS = ("What is the capital of France?", "What is 2 + 2?", "Name three colours.")


async def ask(manager: ControlPlaneManager, model_id: str, question: str) -> str:
    """Send one chat through the control plane and return the whole answer."""
    request = GenerateRequest(
        model_id=model_id,
        messages=[ChatMessage(role="user", content=question)],
        params=SamplingParams(max_tokens=32, temperature=0),
    )
    stream = await manager.submit(request)
    pieces = []
    while batch := await stream.next_batch():
        pieces += [delta.text for _, delta in batch]
    return "".join(pieces)


async def main(backend_name: str, llm: str, isolation: Any, dtype: Any) -> None:
    """Open the backend, ask three questions at once, and show what the control plane measured."""
    location = resolve_model(llm, progress=lambda stage, _share: print(f"  {stage}"))
    backend = await open_backend(
        backend_name, BackendConfig(model=location, dtype=dtype), isolation=isolation
    )
    manager = ControlPlaneManager()
    try:
        await manager.register_backend(location.model_id, backend)
        capability = backend.get_capability()
        print(f"{capability.backend_name} on {capability.hardware_backend}, KV {capability.kv_schema}")
        answers = await asyncio.gather(*(ask(manager, location.model_id, question) for question in QUESTIONS))
        for question, answer in zip(QUESTIONS, answers, strict=True):
            print(f"Q: {question}\nA: {answer}")
        metrics = (await manager.metrics()).decode()
        print(
            "\n".join(
                line for line in metrics.splitlines() if line.startswith("sage:generation_tokens_total")
            )
        )
    finally:
        await manager.close()
        await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The control plane over one backend.")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--llm", default="demo")
    parser.add_argument("--isolation", choices=("process", "inline"), default="process")
    parser.add_argument("--dtype", default="auto")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.backend, arguments.llm, arguments.isolation, arguments.dtype))
