"""vLLM behind the contracts of sage-infer."""
