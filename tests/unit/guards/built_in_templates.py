"""Chat templates of the kinds that models of the shipped descriptions have, in our own words."""

from typing import NamedTuple

from worker.adapters.chat_files import AddedToken
from worker.adapters.chat_template import JinjaChatTemplate

_ALTERNATING = """
{%- for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Roles must alternate, starting with the user.') -}}
{%- endif -%}
{%- endfor -%}"""

QWEN = """<|im_start|>user
# Task: is the last turn safe?
{% for message in messages %}
{{ 'USER' if message.role == 'user' else 'ASSISTANT' }}: {{ message.content }}

{% endfor %}
Judge the last {{ messages[-1].role }} turn.<|im_end|>
<|im_start|>assistant
<think>

</think>

"""

XGUARD = """<|im_start|>user
Give the id of a risk.
{%- if policy is defined and policy %}

# Own categories
{{ policy | trim }}
{%- endif %}
{%- if reason_first is defined and reason_first %} Explain first.{% endif %}

{% for message in messages -%}
[{{ message.role }}] {{ message.content }}
{% endfor %}<|im_end|>
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LLAMA = (
    _ALTERNATING
    + """
{{- bos_token ~ '<|start_header_id|>user<|end_header_id|>\\n\\nJudge the ' }}
{{- 'User' if messages | length % 2 else 'Agent' }}.
{% for code, name in (categories if categories is defined else {'S1': 'Violence.'}).items() -%}
{{ code }}: {{ name }}
{% endfor %}
{%- for message in messages %}
{{ 'User' if message.role == 'user' else 'Agent' }}: {{ message.content | trim }}

{% endfor -%}
<|eot_id|><|start_header_id|>assistant<|end_header_id|>"""
)

LLAMA_PARTS = (
    _ALTERNATING
    + """
{{- bos_token ~ '<|header_start|>user<|header_end|>\\n\\nJudge the ' }}
{{- 'User' if messages | length % 2 else 'Agent' }}.
{% for code in ['S1', 'S2'] if code not in (excluded_category_keys | default([])) %}
{{ code }}
{% endfor %}
{%- for message in messages %}
{%- for part in message.content if part.type == 'text' %}
{{ 'User' if message.role == 'user' else 'Agent' }}: {{ part.text | trim }}

{% endfor %}
{%- endfor -%}
<|eot|><|header_start|>assistant<|header_end|>{{ '\\n\\n' }}"""
)

GRANITE_3 = """
{%- set known = {'harm': 'It harms.', 'jailbreak': 'It gets around rules.'} -%}
{%- if guardian_config.criteria_id not in known -%}
{{ raise_exception('No such criterion.') }}
{%- endif -%}
{%- for message in messages -%}
<|start_of_role|>{{ message.role }}<|end_of_role|>{{ message.content }}<|end_of_text|>
{% endfor -%}
<|start_of_role|>judge<|end_of_role|>{{ known[guardian_config.criteria_id] }}
{%- if think %} <think>{% endif %}<|end_of_text|>
<|start_of_role|>assistant<|end_of_role|>"""

# any roles in any order
GRANITE_4 = """
{%- for message in messages -%}
<|start_of_role|>{{ message.role }}<|end_of_role|>{{ message.content }}<|end_of_text|>
{% endfor -%}
{%- if add_generation_prompt -%}<|start_of_role|>assistant<|end_of_role|>{%- endif -%}"""

NEMOTRON = (
    _ALTERNATING
    + """
{{- bos_token ~ '<start_of_turn>user\\n' }}Is this safe? {{ request_categories }}
{%- for message in messages %}

{{ 'user' if message.role == 'user' else 'response: agent' }}: {{ message.content | trim }}
{%- endfor %}<end_of_turn>
<start_of_turn>model
{% if not enable_thinking %}<think></think>
{% endif %}"""
)

HARMONY = """<|start|>system<|message|>Reasoning: {{ reasoning_effort }}<|end|>
{%- if messages[0].role == 'system' -%}
<|start|>developer<|message|># Instructions

{{ messages[0].content }}<|end|>
{%- set rest = messages[1:] -%}
{%- else -%}
{{ raise_exception('There is no policy.') }}
{%- endif -%}
{%- for message in rest -%}
{%- if message.role != 'user' -%}{{ raise_exception('Only the user.') }}{%- endif -%}
<|start|>user<|message|>{{ message.content }}<|end|>
{%- endfor -%}
<|start|>assistant"""

SHIELD = (
    _ALTERNATING
    + """
{%- if not guideline -%}{{ raise_exception('There is no guideline.') }}{%- endif -%}
{{- bos_token ~ '<start_of_turn>\\n' }}
{%- for message in messages %}
{{ 'Human' if message.role == 'user' else 'Chatbot' }}: {{ message.content | trim }}
{%- endfor %}
<end_of_turn>
Rule: {{ guideline | trim }} Yes or No?

"""
)

_QWEN_TOKENS = ("<|im_start|>", "<|im_end|>")
_GRANITE_TOKENS = ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>")
_GEMMA_TOKENS = ("<bos>", "<start_of_turn>", "<end_of_turn>")


class Kind(NamedTuple):
    """A template, its control tokens, and those of them that are not special."""

    source: str
    special: tuple[str, ...]
    plain: tuple[str, ...] = ()

    @property
    def added(self):
        return [
            *(AddedToken(name, special=True) for name in self.special),
            *(AddedToken(name, special=False) for name in self.plain),
        ]

    @property
    def tokens(self):
        return {"bos_token": self.special[0]}

    def template(self):
        return JinjaChatTemplate(self.source, "m", self.added, self.tokens)


KINDS = {
    "qwen3guard": Kind(QWEN, _QWEN_TOKENS, ("<think>", "</think>")),
    "yufeng-xguard": Kind(XGUARD, _QWEN_TOKENS, ("<think>", "</think>")),
    "llama-guard": Kind(
        LLAMA, ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    ),
    "llama-guard-4": Kind(
        LLAMA_PARTS, ("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>")
    ),
    "granite-guardian": Kind(GRANITE_3, _GRANITE_TOKENS),
    "granite-guardian-4.1": Kind(GRANITE_4, _GRANITE_TOKENS),
    "nemotron-content-safety": Kind(NEMOTRON, _GEMMA_TOKENS),
    "gpt-oss-safeguard": Kind(
        HARMONY,
        (
            *("<|start|>", "<|message|>", "<|end|>", "<|channel|>"),
            *("<|return|>", "<|call|>"),
        ),
    ),
    "shieldgemma": Kind(SHIELD, _GEMMA_TOKENS),
}
