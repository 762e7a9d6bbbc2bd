"""The names of spans and of attributes.

Where OpenTelemetry's semantic conventions (v1.44: messaging and gen_ai, both in development) have a
name it is used; the others begin with `guardstream.`.
"""

SYSTEM = "messaging.system"
DESTINATION = "messaging.destination.name"
PARTITION_ID = "messaging.destination.partition.id"
GROUP = "messaging.consumer.group.name"
OFFSET = "messaging.kafka.offset"
MESSAGE_COUNT = "messaging.batch.message_count"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
ERROR_TYPE = "error.type"
GENAI_OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
BATCH_REASON = "guardstream.batch.reason"
BATCH_TOKENS_USED = "guardstream.batch.tokens"

# span names; a topic or a model may follow

POLL = "poll"
BATCH = "batch"
PROCESS = "process"
CHAT = "chat"
SEND = "send"
COMMIT = "commit"
