"""What a job spends on models is on its record, also when the worker dies before the answer comes."""

from __future__ import annotations

from forgehand.application.jobs.context import JobContext
from forgehand.application.ports.language_model import (
    LanguageModel,
    ModelCall,
    ModelOutputInvalid,
    ModelRefused,
    ModelReply,
    ModelTruncated,
)
from forgehand.domain.usage import Usage

_CHARGED = (ModelRefused, ModelTruncated, ModelOutputInvalid)


async def ask(model: LanguageModel, call: ModelCall, job: JobContext) -> ModelReply:
    """Make the call, with a record before it and one after it. Raise what the model raises.

    A record "asked" that no other follows is a call that was cut off (a killed worker, a cancelled
    job): the provider may have charged it, and how much cannot be known.
    """
    await job.model_call(model.name, "asked", Usage())
    try:
        reply = await model.complete(call)
    except Exception as error:
        usage = error.usage if isinstance(error, _CHARGED) else Usage()
        await job.model_call(model.name, "failed", usage)
        raise
    await job.model_call(model.name, "answered", reply.usage)
    return reply


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` costs; rather too many than too few. "" is 0.

    The rule is two tokens for every five bytes of UTF-8, rounded up. Providers state 4 characters of English
    for a token (Google) and 3.5 (Anthropic), whose newer tokenizers make up to 35 % more tokens of the same
    text: 3.5 / 1.35 is about 2.6. Text outside of ASCII has more bytes to a character, and more tokens.
    """
    return -(-2 * len(text.encode("utf-8", "surrogatepass")) // 5)
