"""Keys: which variable's value may go to which address, and how it stays out of everything that is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, urlsplit

from l2aco.errors import InputError, UnavailableError, UsageError

OWN_SERVER = "L2ACO_API_KEY"
"""The key for servers that the user names with --base-url."""
PROVIDERS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
}
"""`provider:model` for OpenAI-compatible APIs: address, and the variable that holds the key."""
OWNERS = {key: str(urlsplit(url).hostname) for url, key in PROVIDERS.values()} | {
    "ANTHROPIC_API_KEY": "api.anthropic.com",
    "AZURE_OPENAI_API_KEY": "openai.azure.com",
    "CEREBRAS_API_KEY": "api.cerebras.ai",
    "COHERE_API_KEY": "api.cohere.com",
    "DASHSCOPE_API_KEY": "aliyuncs.com",
    "FIREWORKS_API_KEY": "api.fireworks.ai",
    "GEMINI_API_KEY": "generativelanguage.googleapis.com",
    "GOOGLE_API_KEY": "generativelanguage.googleapis.com",
    "MOONSHOT_API_KEY": "api.moonshot.ai",
    "NVIDIA_API_KEY": "integrate.api.nvidia.com",
    "PERPLEXITY_API_KEY": "api.perplexity.ai",
    "WANDB_API_KEY": "api.wandb.ai",
    "XAI_API_KEY": "api.x.ai",
}
"""Variables whose keys belong to one provider, and the host that they go to (or one under it)."""
_SECRET_WORDS = frozenset("key apikey token secret password passwd passphrase pwd credential sig signature".split())
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_LOOKS_LIKE_A_KEY = re.compile(r"\b(sk-|hf_|gsk_|xai-)[\w-]{16,}")
_SHORTEST = 8
"""Shorter values are no keys, and would be found in every text."""

Mask = Callable[[str], str]


def check_owner(variable: str, url: str | None) -> None:
    """Raise InputError where the key in `variable` has no business at `url`."""
    if owner := OWNERS.get(variable):
        if not belongs_to(url or "", owner):
            raise InputError(
                f"{variable} goes to https://{owner} alone",
                remedy='Give another address a key of its own, such as key = "EXAMPLE_API_KEY".',
            )
    elif variable == OWN_SERVER or not re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", variable):
        raise InputError(
            f"key = '{variable}' names no variable that holds the key of a server",
            remedy="Its name ends in _API_KEY, such as EXAMPLE_API_KEY, and is no other server's.",
        )


def belongs_to(url: str, owner: str) -> bool:
    """Whether an address is that of a host, or of one under it, and nobody can listen on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(f".{owner}")


def key_in(variable: str) -> str | None:
    """The key that a variable holds, or None. Raises UnavailableError, without it, where it cannot be one."""
    key = os.environ.get(variable, "").strip()
    if not all("!" <= char <= "~" for char in key):
        raise UnavailableError(
            f"{variable} holds something that no key has, such as a line break, a space or curly quotes",
            remedy=f"Set it again: export {variable}=...",
        )
    return key or None


def names_a_secret(name: str) -> bool:
    """Whether a parameter or flag of this name holds a secret: `api_key`, `accessToken`, `--hf-token`."""
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z]+", words))


def check_flags(flags: Iterable[str]) -> None:
    """Raise UsageError where one of a server's flags holds a key: flags are written down and shown to every user of
    the machine."""
    for flag in flags:
        name = flag.partition("=")[0]
        if (flag.startswith("-") and names_a_secret(name)) or _LOOKS_LIKE_A_KEY.search(flag):
            raise UsageError(
                f"keys do not stand in flags, which are written down ({name if flag.startswith('-') else '...'})",
                remedy="Export it: HF_TOKEN=... reaches the model's repository; the server's own key is made by L2aCo.",
            )


def make_mask(*keys: str | None) -> Mask:
    """A function that takes `keys`, and every secret in the environment, out of a text that is kept or shown; half a
    surrogate pair, which no file can hold, becomes a question mark."""
    found = {key for key in keys if key}
    found |= {text.strip() for name, text in os.environ.items() if _SECRET_VARIABLE.search(name)}
    known = sorted((key for key in found if len(key) >= _SHORTEST), key=len, reverse=True)
    forms = [form for key in known for form in dict.fromkeys((key, quote(key, safe="")))]

    def mask(text: str) -> str:
        for form in forms:
            text = text.replace(form, "[key]")
        return text.encode(errors="replace").decode()

    return mask
