"""``sage infer serve`` and ``sage llm serve``: models over HTTP until SIGTERM or Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import load, model_options

if TYPE_CHECKING:
    from sage_infer.config import Settings
    from sage_infer.deployment import PreparedModel
    from sage_infer.plugins import Registry


@click.command("serve")
@model_options
@click.option("--embedding", multiple=True, metavar="MODEL", help="Embedding model; may be repeated.")
@click.option("--embedding-backend", metavar="NAME", help="Backend of the embedding models.  [torch]")
@click.option("--host", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [8000]")
@click.option(
    "--api-key", "api_keys", multiple=True, metavar="KEY", help="Key that clients must send; may be repeated."
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    help="Seconds that running requests have after SIGTERM.  [30]",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--log-format", type=click.Choice(["console", "json"]), help="[console]")
def serve(config: Path | None, **options: Any) -> None:
    """Serve models over an OpenAI-compatible HTTP API."""
    from sage_infer.common.event_loop import run
    from sage_infer.deployment import prepare_models
    from sage_infer.deployment.prepared import registry_of

    from .progress import StageReporter

    settings = load(config, options).settings
    registry = registry_of(settings)
    # Before the event loop runs, so that Ctrl-C ends a download or a conversion at once.
    with StageReporter() as progress:
        models = prepare_models(settings, registry, progress)
    code = run(_serve(settings, registry, models))
    if code:
        raise click.exceptions.Exit(code)


async def _serve(settings: Settings, registry: Registry, models: list[PreparedModel]) -> int:
    from sage_infer.common.telemetry import Telemetry, TelemetrySettings
    from sage_infer.deployment import Deployment
    from sage_infer.serving.app import create_app
    from sage_infer.serving.server import run_server

    from .progress import StageReporter

    log = settings.logging
    telemetry = Telemetry.from_settings(
        TelemetrySettings(log_format=log.format, log_level=log.level, otel_endpoint=log.otel_endpoint),
        registry.hooks.observers(),
    )
    with StageReporter() as progress:
        deployment = await Deployment.open(models, settings, registry, telemetry=telemetry, progress=progress)
    try:
        app = create_app(deployment.manager, settings.serving)

        def ready(host: str, port: int) -> None:
            click.echo(_welcome(settings, models, host, port))

        return await run_server(app, deployment.manager, settings.serving, on_listening=ready)
    finally:
        await deployment.close()


def _welcome(settings: Settings, models: list[PreparedModel], host: str, port: int) -> str:
    """Say where the server listens and how to ask it something."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    url = f"http://{reachable}:{port}"
    key = ' \\\n  -H "Authorization: Bearer $SAGE_INFER_API_KEY"' if settings.serving.api_keys else ""
    lines = [f"Serving {', '.join(model.config.model.model_id for model in models)} on {url}/v1", "Try:"]
    for model in models:
        name = model.config.model.model_id
        if model.kind == "llm":
            path = "chat/completions"
            body: dict[str, Any] = {
                "model": name,
                "messages": [{"role": "user", "content": "What is the capital of France?"}],
            }
        else:
            path, body = "embeddings", {"model": name, "input": "Hello"}
        data = json.dumps(body).replace("'", "'\\''")
        lines.append(f"curl {url}/v1/{path}{key} \\\n  -H 'Content-Type: application/json' \\\n  -d '{data}'")
    return "\n".join(lines)
