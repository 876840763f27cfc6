"""The client for anything that speaks the OpenAI chat API: the API itself, vLLM, and many more."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self, TypeVar

from l2aco.errors import UnavailableError
from l2aco.llm.addresses import CHAT, check_address, is_loopback
from l2aco.llm.catalog import Model
from l2aco.llm.endpoints import Endpoint, EndpointPool
from l2aco.llm.keys import OWN_SERVER, OWNERS, belongs_to, key_in, make_mask
from l2aco.llm.options import EngineOptions
from l2aco.llm.refusals import Refused, Said, asked_pause, quota_pause, read_refusal, reason_of
from l2aco.llm.replies import counted, read_reply
from l2aco.llm.request import FATAL, LONGEST_PAUSE_S, CallFailed, Message, OtherWay, Reason, Reply
from l2aco.llm.structured import parse_reply, without_lengths
from l2aco.llm.ways import Way

Found = TypeVar("Found")

_LONG_PAUSE_S = 10.0
"""Longer pauses are said."""


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted, read once: that takes longer than a call to this machine."""
    import httpx2

    return httpx2.create_ssl_context()


class OpenAIEngine:
    """Calls one or several OpenAI-compatible endpoints with the openai SDK.

    Raises UnavailableError when made without an address, or without the key that the model's provider needs. The key
    is `key`, else read from the environment, and kept out of every text. No proxy is asked for this machine's own
    addresses, and no redirect is followed.
    """

    endpoint = "chat.completions"

    def __init__(self, model: Model, options: EngineOptions, *, key: str | None = None) -> None:
        if not options.base_urls:
            raise UnavailableError(f"no address is known for {model.alias}", remedy="Give one with --base-url.")
        for url in options.base_urls:
            check_address(url)
        self.model = model
        self.options = options
        self._key = key or _find_key(model, options)
        self._mask = make_mask(self._key)
        way = Way(limit=model.max_tokens_field)
        self.pool = EndpointPool([Endpoint(url, way) for url in options.base_urls])

    async def __aenter__(self) -> Self:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self.options.concurrency)
        for endpoint in self.pool.endpoints:
            endpoint.client = AsyncOpenAI(
                api_key=self._key or "none",
                base_url=endpoint.url,
                default_query=endpoint.query,
                default_headers=self._headers(endpoint),
                max_retries=0,
                timeout=self.options.timeout_s,
                http_client=DefaultAioHttpClient(
                    limits=limits,
                    timeout=self.options.timeout_s,
                    verify=_certificates(),
                    trust_env=not is_loopback(endpoint.url),
                    follow_redirects=False,
                ),
            )
        return self

    @property
    def authorization(self) -> dict[str, str]:
        """The header that says who asks, for whoever makes the calls in our place."""
        return {"Authorization": f"Bearer {self._key or 'none'}"}

    def _headers(self, endpoint: Endpoint) -> dict[str, Any]:
        """What the SDK reads from the environment for OpenAI is left out for everybody else."""
        if belongs_to(endpoint.url, OWNERS["OPENAI_API_KEY"]):
            return {}
        from openai import Omit

        named = (line.partition(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"))
        left_out = {name: Omit() for name in ("OpenAI-Organization", "OpenAI-Project", *named) if name}
        return {**left_out, **self.authorization}

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self.pool.endpoints:
            if endpoint.client is not None:
                await endpoint.client.close()
                endpoint.client = None

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """One call to the endpoint with the least to do. Raises CallFailed, and OtherWay where its way changed."""
        while True:
            async with self.pool.least_busy() as endpoint:
                if endpoint.settled or endpoint.struggles:
                    return await self._find_way(endpoint, messages, schema, sampling)
                async with endpoint.learning:  # one call finds the way for all
                    if endpoint.over is not None:
                        raise endpoint.over
                    if endpoint.wait_s == 0 and not (endpoint.settled or endpoint.struggles):
                        return await self._find_way(endpoint, messages, schema, sampling)

    async def _find_way(
        self,
        endpoint: Endpoint,
        messages: tuple[Message, ...],
        schema: Mapping[str, Any],
        sampling: Mapping[str, Any],
    ) -> Reply:
        """Ask as the endpoint wants to be asked; what it refuses teaches how. An answer that does not keep to the
        first way ends the call."""
        while True:
            way = endpoint.way
            body = way.body(self.model, messages, schema, sampling)
            try:
                reply = await self._ask(endpoint, body)
            except CallFailed as failure:
                if isinstance(failure, Refused) and self._learn(endpoint, way, failure, body):
                    continue
                endpoint.struggles |= failure.retryable
                self.tell(endpoint, failure)
                if failure.reason in FATAL and not endpoint.settled:
                    endpoint.over = failure
                raise
            else:
                if endpoint.settled or way.is_last or not _ignores(reply, schema):
                    endpoint.settled = True
                    return reply
                self._take(endpoint, way, way.next_mode())
                raise OtherWay(reply)

    def _learn(self, endpoint: Endpoint, way: Way, failure: Refused, body: Mapping[str, Any]) -> bool:
        """Whether the endpoint can be asked in another way after this refusal."""
        if failure.reason not in (Reason.rejected, Reason.server_error):
            return False
        if endpoint.way != way:  # another call has found one meanwhile
            return True
        sure = endpoint.settled or _gist(failure.said) in endpoint.refused
        if learned := way.after(failure.said, body, sure=sure):
            self._take(endpoint, way, learned)
            return True
        if not endpoint.settled:  # it was this request that was refused, not a way of asking
            endpoint.refused.add(_gist(failure.said))
            endpoint.way = replace(way, mode=endpoint.first_way.mode)
        return False

    def _take(self, endpoint: Endpoint, way: Way, learned: tuple[Way, str]) -> None:
        if endpoint.way == way:
            endpoint.way, said = learned
            self.options.say(f"{endpoint.url} {said}")

    async def _ask(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Reply:
        raw = await self._post(endpoint, CHAT, body)
        pause = quota_pause(raw.headers) or 0.0
        self._hold(endpoint, pause if pause <= LONGEST_PAUSE_S else None)  # whether it is so long, a refusal will say
        reply = self._read(endpoint, CHAT, raw, lambda content: read_reply(content, self._mask))
        return counted(reply, body["messages"])

    async def _post(self, endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> Any:
        """The server's answer to one call, as httpx2.Response. Raises CallFailed."""
        import httpx2

        # The SDK's own `create` walks through messages and schema at every call, which takes longer than all the rest;
        # `post` is its door for bodies that are ready.
        call = endpoint.client.post(path, cast_to=httpx2.Response, body=body)
        return await self.guarded(endpoint, path, call, self.options.timeout_s)

    async def guarded(self, endpoint: Endpoint, path: str, call: Awaitable[Found], timeout_s: float) -> Found:
        """What a call of the SDK brings; raises CallFailed for whatever the SDK raises, also over an answer that has
        another shape than it expects."""
        import httpx2
        import openai

        try:
            async with asyncio.timeout(timeout_s):
                found = await call
        except TimeoutError:
            raise CallFailed(Reason.timeout, f"no answer in {timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            raise self._connection_failed(endpoint, error) from None
        except openai.APIStatusError as error:
            said = read_refusal(error.response.status_code, error.response.content, self._mask)
            raise self._refused(endpoint, path, said, error.response.headers) from None
        except (openai.OpenAIError, httpx2.HTTPError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise CallFailed(Reason.broken_response, f"{endpoint.url}{path}: {self._mask(str(error))[:200]}") from None
        endpoint.came_back()
        return found

    def _read(self, endpoint: Endpoint, path: str, raw: Any, read: Callable[[bytes], Found]) -> Found:
        """What `read` finds in an answer; an error in it counts as if it had come with its status."""
        try:
            return read(raw.content)
        except Refused as failure:
            raise self._refused(endpoint, path, failure.said, raw.headers) from None

    def _connection_failed(self, endpoint: Endpoint, error: Exception) -> CallFailed:
        """The SDK's transport calls a refused connection a timeout, so what is behind its errors decides."""
        import aiohttp

        causes = list(_causes(error))
        message = f"{endpoint.url}: {self._mask(str(causes[-1]))}"
        if any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes):
            endpoint.went_away()
            return CallFailed(Reason.connection, message)
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return CallFailed(Reason.timeout, message)
        return CallFailed(Reason.broken_response, message)

    def _refused(self, endpoint: Endpoint, path: str, said: Said, headers: Mapping[str, str]) -> Refused:
        wait = asked_pause(headers)
        reason = reason_of(said, wait)
        if reason in (Reason.rate_limited, Reason.server_error):
            self._hold(endpoint, wait)
        if reason is Reason.no_address:
            to = self._mask(headers.get("location", ""))
            words = f"it redirects to {to}" if to else said.words
            said = replace(said, words=f"{endpoint.url}{path}: {words}")
        return Refused(reason, said, retry_after=wait)

    def tell(self, endpoint: Endpoint, failure: CallFailed) -> None:
        """Say once an endpoint why calls are tried again, which may take minutes."""
        if failure.retryable and failure.reason not in endpoint.told:
            endpoint.told.add(failure.reason)
            who = "" if endpoint.url in failure.message else f"{endpoint.url}: "
            self.options.say(f"{who}{failure}; it is tried again")

    def _hold(self, endpoint: Endpoint, seconds: float | None) -> None:
        """Let an endpoint rest as it asked, and say so where that is long."""
        if endpoint.hold(seconds) and seconds and seconds >= _LONG_PAUSE_S:
            self.options.say(f"{endpoint.url} asks for a pause of {timedelta(seconds=round(seconds))}")


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


def _gist(said: Said) -> str:
    """What a refusal says, without numbers and quotations, which differ from request to request."""
    return re.sub(r"\d+|(['\"`]).*?\1", "", said.words)


def _find_key(model: Model, options: EngineOptions) -> str | None:
    """The key of the model's provider, for the provider's own address only; L2ACO_API_KEY for a server that the user
    names."""
    if {url.rstrip("/") for url in options.base_urls} != {(model.base_url or "").rstrip("/")}:
        return key_in(OWN_SERVER)
    key = key_in(model.key) if model.key else None
    if model.key and not key:
        raise UnavailableError(
            f"{model.alias} needs a key, and {model.key} is not set",
            remedy=f"Run: export {model.key}=...  or name an OpenAI-compatible server with --base-url.",
        )
    return key
