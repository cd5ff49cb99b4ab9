"""Braces in paths, as shells and WebDataset have them."""

import re

MAX_PATHS = 10**6
NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?\d+))?")


def expand_braces(pattern):
    """Return the paths that a pattern with braces means, in its order.

    `{000..003}` keeps the zeros, `{0..8..2}` and `{c..a}` count as bash does,
    `{a,b{1,2}}` may be nested. Other braces are part of the name.

    Raises:
        ValueError: There are more than a million.
    """
    found = next(braces(pattern), None)
    if found is None:
        return [pattern]
    start, end, choices = found
    tails = expand_braces(pattern[end:])
    paths = []
    for choice in choices:
        heads = expand_braces(choice) if "{" in choice else [choice]
        if (len(paths) + len(heads) * len(tails)) > MAX_PATHS:
            raise ValueError(
                f"Expected braces that mean at most {MAX_PATHS} paths. "
                f"Received: {pattern!r}"
            )
        paths += [pattern[:start] + h + tail for h in heads for tail in tails]
    return paths


def braces(pattern):
    """Yield `(start, end, choices)` of the braces that mean a choice."""
    for opening in re.finditer(r"\{", pattern):
        start, commas, depth = opening.end(), [opening.start()], 0
        for place in range(start, len(pattern)):
            letter = pattern[place]
            depth += (letter == "{") - (letter == "}")
            if letter == "," and depth == 0:
                commas.append(place)
            if depth < 0:
                cuts = zip(commas, [*commas[1:], place], strict=True)
                choices = [pattern[a + 1 : b] for a, b in cuts]
                if len(choices) == 1:
                    choices = count(choices[0])
                if choices:
                    yield opening.start(), place + 1, choices
                break


def count(body):
    """Return what `1..3` or `a..c` stand for, None for other text."""
    if match := NUMBERS.fullmatch(body):
        ends = match.group(1, 2)
        is_padded = any(re.match(r"-?0\d", end) for end in ends)
        width = max(map(len, ends)) if is_padded else 0
        numbers = steps(int(ends[0]), int(ends[1]), match.group(3))
        return [f"{number:0{width}d}" for number in numbers]
    if match := LETTERS.fullmatch(body):
        return list(map(chr, steps(*map(ord, match.group(1, 2)), match[3])))
    return None


def steps(first, last, step):
    """Return a range that has both ends, up or down."""
    step = abs(int(step or 1)) or 1
    if abs(last - first) // step >= MAX_PATHS:
        raise ValueError(
            f"Expected braces that mean at most {MAX_PATHS} paths. "
            f"Received: {{{first}..{last}}}"
        )
    sign = 1 if last >= first else -1
    return range(first, last + sign, sign * step)
