"""``python -m sage_infer`` is ``sage-infer``."""

from sage_infer.cli.main import sage_infer

if __name__ == "__main__":
    sage_infer(prog_name="sage-infer")
