"""The form of a description: a file that declares a guard."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

Text = Annotated[StrictStr, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]
# a value of which an option can be the complete value
OptionValue = Annotated[StrictStr, Field(pattern=r"^\{options\.[a-z][a-z0-9_]*\}$")]
QuestionName = Annotated[StrictStr, Field(pattern=r"^([a-z][a-z0-9_]*|\{each\})$")]

# standard tasks, by short names
TASKS = ("request", "refusal", "response")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OwnQuestion(_Strict):
    """A question in addition to the three standard tasks."""

    name: QuestionName = Field(
        description="In verdicts, metrics and labelled data; `{each}` makes one question for each"
        " entry of the option of `for_each`."
    )
    about: Literal["prompt", "response"]
    labels: list[Text] = Field(min_length=2)
    positive: Text = Field(description="The label whose probability is the score.")
    asks: str = Field("", description="The question in words, for reports.")
    heading: str = ""


class Message(_Strict):
    """A message that is given to the chat template."""

    role: Text
    text: str = Field(description="With `{prompt}`, `{response}`, `{options.name}` or `{each}`.")


class Read(_Strict):
    """A label that is read from the answer."""

    task: QuestionName = Field(
        description="`request`, `refusal` or `response` for the standard tasks, else the name of a"
        " question of this file."
    )
    group: Text = Field(description="The group of `answer` that matches the word.")
    labels: dict[Text, Text] = Field(
        min_length=1,
        description="The question's label for each word; a label can be `{options.name}`.",
    )
    after: str | None = Field(
        None,
        description="The text before the word: where its probability is read, and where an answer"
        " is forced. Empty for the start of the answer; unset, there is no score and no repair.",
    )


class Categories(_Strict):
    """The list of categories in an answer."""

    task: QuestionName
    group: Text
    separator: Text = ", "
    none: list[str] = Field([], description="Entries that mean that there is no category.")
    names: dict[str, str] = Field({}, description="For people, by the guard's codes.")
    names_option: str | None = Field(
        None, description="An option with further names; it wins over `names`."
    )


class Severity(_Strict):
    """The guard's level; of several calls, the highest one counts."""

    group: Text
    levels: list[Text] = Field(min_length=2, description="The words of the group, lowest first.")


class Call(_Strict):
    """One request to the engine."""

    name: Text
    about: Literal["prompt", "response", "exchange"] = Field(
        description="`prompt`: each exchange; `response`: those that have one; `exchange`: each one"
        " with its response, which is empty where there is none."
    )
    for_each: str | None = Field(
        None,
        description="An option that is a list or a mapping of names: one call for each, which is"
        " `{each}`; its text in a mapping is `{each.text}`.",
    )
    conversation: StrictBool = Field(
        False, description="Give the exchange as a conversation to the chat template."
    )
    messages: list[Message] = Field([], description="Messages for the chat template.")
    text: str | None = Field(None, description="The prompt itself, without a chat template.")
    control: list[Text] = Field(
        [], description="Control tokens that `text`, or `after` of a label, spells."
    )
    arguments: dict[str, Any] = Field(
        {}, description="Variables of the chat template; one whose option is null is left out."
    )
    as_parts: StrictBool | OptionValue = Field(
        False, description="Whether the chat template wants contents as lists of parts."
    )
    prefill: str = Field("", description="The beginning of the answer, given with the prompt.")
    answer: Text = Field(
        description="A pattern in RE2's syntax for the complete answer, `prefill` included, without"
        " white space around it."
    )
    max_tokens: Count = 128
    stop: list[Text] = Field([], description="Texts that end the answer.")
    stop_tokens: list[Text] = Field([], description="Control tokens that end the answer.")
    reads: list[Read] = Field(min_length=1)
    categories: Categories | None = None
    severity: Severity | None = None
    reasoning: str | None = Field(None, description="The group of `answer` with the reasoning.")


class Switch(_Strict):
    """What a reasoning mode changes in each call."""

    arguments: dict[str, Any] = {}
    max_tokens: Count | None = None
    options: dict[str, Any] = Field({}, description="Other defaults of options in this mode.")


class ReasoningSwitch(_Strict):
    """What `judging.reasoning` changes."""

    always: Switch = Switch()
    never: Switch = Switch()


class Description(_Strict):
    """A guard: how it is asked, and how its answers are read."""

    about: str = Field("", description="What it is, for people.")
    models: list[Text] = Field([], description="At Hugging Face, that it is for.")
    licence: str = Field("", description="Of the models.")
    options: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Any] = Field(
        {}, description="What `guard.options` can set, with defaults of the same type."
    )
    required: dict[str, Text] = Field(
        {}, description="Options that must be set, and what each is, for people."
    )
    questions: list[OwnQuestion] = []
    calls: list[Call] = Field(min_length=1)
    reasoning: ReasoningSwitch = ReasoningSwitch()
