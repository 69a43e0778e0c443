"""The native engine: a transformers decoder over a paged KV pool, batched continuously."""
