"""The client for anything that speaks the OpenAI chat API: the API itself, vLLM, and many more."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from l2aco.errors import UnavailableError
from l2aco.llm.catalog import Model
from l2aco.llm.endpoints import Endpoint, EndpointPool
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import CallFailed, Message, OtherWay, Reason, Reply
from l2aco.llm.structured import in_words, parse_reply, without_lengths

MODES = ("json_schema", "json_schema without lengths", "json_object", "text")
"""Ways to ask for structured output, best first. Each endpoint keeps the first one that it accepts."""


class OpenAIEngine:
    """Calls one or several OpenAI-compatible endpoints with the openai SDK.

    Raises UnavailableError when made without an address, or without the key that the model's provider needs.
    The key is read from the environment and kept out of every message.
    """

    endpoint = "chat.completions"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        if not options.base_urls:
            raise UnavailableError(f"no address is known for {model.alias}", remedy="Give one with --base-url.")
        self.model = model
        self.options = options
        self._key = _find_key(model, options)
        self.pool = EndpointPool([Endpoint(url.rstrip("/")) for url in options.base_urls])

    async def __aenter__(self) -> Self:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self.options.concurrency)
        for endpoint in self.pool.endpoints:
            endpoint.client = AsyncOpenAI(
                api_key=self._key or "none",
                base_url=endpoint.url,
                max_retries=0,
                timeout=self.options.timeout_s,
                http_client=DefaultAioHttpClient(limits=limits, timeout=self.options.timeout_s),
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self.pool.endpoints:
            if endpoint.client is not None:
                await endpoint.client.close()
                endpoint.client = None

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """One call to the endpoint with the least to do. Raises CallFailed, and OtherWay where its mode changed."""
        async with self.pool.least_busy() as endpoint:
            if not endpoint.mode_known and not endpoint.struggles:
                async with endpoint.learning:
                    await asyncio.sleep(endpoint.wait_s)  # the call before this one may have been told to wait
                    if not endpoint.mode_known and not endpoint.struggles:
                        return await self._learn(endpoint, messages, schema, sampling)
            if not endpoint.mode_known:
                return await self._learn(endpoint, messages, schema, sampling)
            return await self._ask(endpoint, messages, schema, sampling)

    async def _learn(
        self,
        endpoint: Endpoint,
        messages: tuple[Message, ...],
        schema: Mapping[str, Any],
        sampling: Mapping[str, Any],
    ) -> Reply:
        """Go down the modes until the endpoint accepts one; an answer that does not keep to it ends the call."""
        while True:
            mode = endpoint.mode
            last = mode == len(MODES) - 1
            try:
                reply = await self._ask(endpoint, messages, schema, sampling)
            except CallFailed as failure:
                endpoint.struggles |= failure.retryable
                if failure.reason is not Reason.rejected:
                    raise
                if last:  # it was this request that was refused, not a way of asking
                    endpoint.mode = 0
                    raise
                self._go_down(endpoint, mode)
            else:
                if last or not _ignores(reply, schema):
                    endpoint.mode_known = True
                    return reply
                self._go_down(endpoint, mode)
                raise OtherWay(reply)

    def _go_down(self, endpoint: Endpoint, mode: int) -> None:
        """To the next mode, unless another call has gone there already."""
        if endpoint.mode == mode:
            endpoint.mode += 1
            self.options.say(f"{endpoint.url} cannot do {MODES[mode]}; trying {MODES[mode + 1]}")

    async def _ask(
        self,
        endpoint: Endpoint,
        messages: tuple[Message, ...],
        schema: Mapping[str, Any],
        sampling: Mapping[str, Any],
    ) -> Reply:
        raw = await self._post(
            endpoint, "/chat/completions", self._body(MODES[endpoint.mode], messages, schema, sampling)
        )
        endpoint.hold(_quota_pause(raw.headers))
        return _read(raw.content)

    async def _post(self, endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> Any:
        """The server's answer to one call, as httpx2.Response. Raises CallFailed."""
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self.options.timeout_s):
                # The SDK's own `create` walks through messages and schema at every call, which takes longer than all
                # the rest; `post` is its door for bodies that are ready.
                raw = await endpoint.client.post(path, cast_to=httpx2.Response, body=body)
        except TimeoutError:
            raise CallFailed(Reason.timeout, f"no answer in {self.options.timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            raise self._connection_failed(endpoint, error) from None
        except openai.APIStatusError as error:
            raise self._status_failed(endpoint, error) from None
        endpoint.came_back()
        return raw

    def _body(
        self, mode: str, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model.model, "messages": list(messages), **self.model.extra}
        for name, value in sampling.items():
            body[self.model.max_tokens_field if name == "max_tokens" else name] = value
        if mode.startswith("json_schema"):
            sent = schema if mode == "json_schema" else without_lengths(schema)
            json_schema = {"name": "answer", "schema": sent, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        else:
            first, *others = messages
            body["messages"] = [{**first, "content": f"{first['content']}\n\n{in_words(schema)}"}, *others]
            if mode == "json_object":
                body["response_format"] = {"type": "json_object"}
        return body

    def _connection_failed(self, endpoint: Endpoint, error: Exception) -> CallFailed:
        """The SDK's transport calls a refused connection a timeout, so what is behind its errors decides."""
        import aiohttp

        causes = list(_causes(error))
        message = f"{endpoint.url}: {self._clean(str(causes[-1]))}"
        if any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes):
            endpoint.went_away()
            return CallFailed(Reason.connection, message)
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return CallFailed(Reason.timeout, message)
        return CallFailed(Reason.broken_response, message)

    def _status_failed(self, endpoint: Endpoint, error: Any) -> CallFailed:
        status, code = error.status_code, getattr(error, "code", None)
        message = self._clean(f"HTTP {status}: {_said(error)}")
        wait = _retry_after(error.response.headers)
        if status == 429:
            if code == "insufficient_quota":
                return CallFailed(Reason.no_credit, message)
            endpoint.hold(wait)
            return CallFailed(Reason.rate_limited, message, retry_after=wait)
        if status == 402:
            return CallFailed(Reason.no_credit, message)
        if status in (401, 403):
            return CallFailed(Reason.unauthorised, message)
        if status == 404:
            return CallFailed(Reason.unknown_model, message)
        if status in (408, 409) or status >= 500:
            endpoint.hold(wait)
            return CallFailed(Reason.server_error, message, retry_after=wait)
        return CallFailed(Reason.rejected, message)

    def _clean(self, message: str) -> str:
        """`message` without the key, whatever a server says."""
        return message.replace(self._key, "[key]") if self._key else message


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies behind it, outermost first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _ignores(reply: Reply, schema: Mapping[str, Any]) -> bool:
    """Whether a finished answer shows that the server did not hold the model to the schema."""
    try:
        parse_reply(reply, without_lengths(schema))
    except CallFailed as failure:
        return failure.reason in (Reason.invalid_json, Reason.wrong_schema)
    return False


def _find_key(model: Model, options: EngineOptions) -> str | None:
    """The key of the model's provider, for the provider's own address only; L2ACO_API_KEY for a server that the user
    names."""
    if {url.rstrip("/") for url in options.base_urls} != {(model.base_url or "").rstrip("/")}:
        return _key_in("L2ACO_API_KEY")
    key = _key_in(model.key) if model.key else None
    if model.key and not key:
        raise UnavailableError(
            f"{model.alias} needs a key, and {model.key} is not set",
            remedy=f"Run: export {model.key}=...  or name an OpenAI-compatible server with --base-url.",
        )
    return key


def _key_in(variable: str) -> str | None:
    key = os.environ.get(variable, "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise UnavailableError(
            f"{variable} holds something that no key has, such as a line break, a space or curly quotes",
            remedy=f"Set it again: export {variable}=...",
        )
    return key or None


def _said(error: Any) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error.message)[:400]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    if milliseconds := headers.get("retry-after-ms"):
        return _number(milliseconds, 1000)
    return _number(headers.get("retry-after", ""), 1)


def _number(text: str, divisor: float) -> float | None:
    try:
        return max(0.0, float(text) / divisor)
    except ValueError:
        return None


def _quota_pause(headers: Mapping[str, str]) -> float | None:
    """How long until a used-up quota is filled again, from `x-ratelimit-*` headers ("6m0s", "320ms")."""
    pauses = [
        _duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max(pauses, default=None)


def _duration(text: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def _read(content: bytes) -> Reply:
    """The reply in the body of an answer; raises CallFailed where it is none."""
    try:
        value = json.loads(content)
        choice = value["choices"][0]
        message = choice["message"]
        usage = value.get("usage") or {}
        text, refusal = _text(message.get("content")), message.get("refusal")
        text.encode()
        return Reply(
            text=text,
            finish_reason=choice.get("finish_reason") or "stop",
            tokens_in=int(usage.get("prompt_tokens") or 0),
            tokens_out=int(usage.get("completion_tokens") or 0),
            model=value.get("model"),
            refusal=None if refusal is None else str(refusal),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise CallFailed(Reason.broken_response, f"the body is no chat completion ({error!r})") from None


def _text(content: Any) -> str:
    """What was said; some servers send it in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError(f"content is no text but {type(content).__name__}")
    return content or ""
