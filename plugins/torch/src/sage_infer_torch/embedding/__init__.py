"""The embedding backend: sentence-transformers folders with mean, cls or last-token pooling."""
