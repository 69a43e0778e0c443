"""The OpenAI-compatible HTTP server over the control plane."""
