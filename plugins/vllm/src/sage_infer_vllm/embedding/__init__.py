"""Embeddings on vLLM's pooling runner."""
