"""Servers for these tests. See ``serving_kit.under_test`` for running them against another server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from serving_kit.under_test import ServerUnderTest, servers


@pytest.fixture(scope="session")
def server() -> Iterator[ServerUnderTest]:
    """The server that the HTTP contract is checked on."""
    yield from servers()


@pytest.fixture(scope="session")
def client(server: ServerUnderTest) -> Iterator[openai.OpenAI]:
    """The real OpenAI client; it does not retry, so that every refusal is seen."""
    with openai.OpenAI(
        base_url=f"{server.base_url}/v1", api_key=server.api_key, max_retries=0, timeout=120
    ) as client:
        yield client


@pytest.fixture(scope="session")
def http(server: ServerUnderTest) -> Iterator[httpx.Client]:
    """A plain HTTP client."""
    with httpx.Client(
        base_url=server.base_url, headers={"authorization": f"Bearer {server.api_key}"}, timeout=120
    ) as client:
        yield client
