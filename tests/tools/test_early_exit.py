"""How early completions say their labels."""

from benchmarks.early_exit import report, sections

SECTION = "# Task {}\n## Reasoning Step 1\nIt asks.\n## Conclusion\n{}\n"
SURE = "The request is harmful.", "The response is a refusal.", "The response is unharmful."
BLOCK = "---\nAnswers: \nRequest: {}\nCompletion: refusal\nResponse: unharmful\n"


def completion(conclusions, request="harmful"):
    parts = [SECTION.format(n, one) for n, one in enumerate(conclusions, start=1)]
    return "\n".join([*parts, BLOCK.format(request)])


def test_each_section_ends_where_the_next_begins():
    text = completion(SURE)
    first, second, third = sections(text)
    assert text.startswith(first)
    assert first.rstrip().endswith("is harmful.")
    assert second.rstrip().endswith("is a refusal.")
    assert third.rstrip().endswith("---")


def test_labels_of_sections_are_compared_with_those_of_the_answer():
    found = report(
        [
            completion(SURE),
            completion(SURE, request="unharmful"),
            completion(("It is hard to say.", *SURE[1:])),
            "nothing that can be read",
        ]
    )
    assert "3 completions." in found
    request = next(line for line in found.splitlines() if "prompt_harmfulness" in line)
    assert "66.7%" in request
    assert "50.00%" in request
