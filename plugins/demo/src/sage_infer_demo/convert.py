"""Child process: ``python -m sage_infer_demo.convert FILE.gguf FOLDER``. Progress goes to stdout, one JSON a line."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from .gguf_llama import read_config, write_config, write_weights
from .gguf_tokenizer import write_tokenizer


def main(arguments: list[str]) -> None:
    """Convert one GGUF file of a Llama-architecture model into a Hugging Face folder."""
    from gguf import GGUFReader

    source, folder = (Path(argument) for argument in arguments)
    _end_with_parent()
    _report("reading the GGUF file", None)
    reader = GGUFReader(source)
    config = read_config(reader)
    _report("converting the tokenizer", None)
    write_tokenizer(reader, config, folder)
    write_config(config, folder)
    write_weights(reader, config, folder, lambda share: _report("converting the weights", share))


def _report(stage: str, share: float | None) -> None:
    print(json.dumps({"stage": stage, "share": share}), flush=True)


def _end_with_parent() -> None:
    """Exit when stdin closes: the parent died, and nobody will publish what we would write."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by a thread, would abort the interpreter's regular exit.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
