"""`python -m l2aco.llm.fake`: serve the fake model until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from l2aco.errors import L2aCoError
from l2aco.llm.fake.server import FAULTS, FakeServer


def main(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    delay: Annotated[float, typer.Option(help="Seconds before each answer.")] = 0.0,
    fault: Annotated[list[str] | None, typer.Option(help=f"NAME=PROBABILITY, repeatable: {', '.join(FAULTS)}.")] = None,
    formats: Annotated[str, typer.Option(help="response_format kinds that are accepted.")] = "json_schema,json_object",
    retry_after: Annotated[float, typer.Option(help="Seconds in the Retry-After of a 429.")] = 0.05,
    slow_start: Annotated[float, typer.Option(help="Seconds of HTTP 503 at first.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
) -> None:
    """Serve the fake model on the OpenAI chat API; prints its base URL."""
    try:
        faults = {name: float(share) for name, _, share in (item.partition("=") for item in fault or ())}
        server = FakeServer(
            port=port,
            delay_s=delay,
            faults=faults,
            formats=tuple(formats.split(",")),
            retry_after_s=retry_after,
            slow_start_s=slow_start,
            seed=seed,
        )
        with server:
            print(server.url, flush=True)
            server._thread.join()
    except (L2aCoError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    except KeyboardInterrupt:
        print(server.stats(), flush=True)


if __name__ == "__main__":
    typer.run(main)
