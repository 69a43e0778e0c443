"""The console script ``sage-infer-conformance``, which the host mounts as ``sage infer conformance``."""
