"""Texts made from templates, for tasks that a model learns within seconds and that depend on known words."""

from __future__ import annotations

from random import Random

PEOPLE = "anna ben clara david emma frank grace henry julia martin peter sarah".split()
PLACES = "berlin boston cairo london madrid paris rome tokyo vienna york".split()
BOTH = "austin florence jordan sydney victoria georgia".split()  # names of both people and places
SURNAMES = "smith miller brown taylor clark hill".split()
THINGS = "book hat lamp clock chair bottle coat map violin ring".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
MONTHS = "january february march april may june july august september october november december".split()
ANIMALS = "cat dog horse bird fish cow pig sheep duck fox".split()
DISHES = "soup bread cake fish tea salad cheese pie".split()
GOOD = "good lovely excellent delicious wonderful fresh".split()
BAD = "bad awful terrible cold stale horrible".split()
NEEDS = {
    "hungry": "ate some bread",
    "thirsty": "drank some water",
    "tired": "went to bed",
    "cold": "put on a coat",
    "dirty": "took a bath",
    "ill": "called a doctor",
    "late": "ran to the station",
    "bored": "read a book",
}


def review(random: Random) -> tuple[str, int]:
    """A sentence about a dish, and 1 if it was liked; a "not" reverses the meaning."""
    liked, turned = random.random() < 0.5, random.random() < 0.3
    word = random.choice(GOOD if liked != turned else BAD)
    first, dish = random.sample(DISHES, 2)
    was = f"was {'not ' if turned else ''}{word}"
    start = random.choice(["", f"we had the {first} , and ", "we came late , but "])
    return f"{start}the {dish} {was}{random.choice(['', ' this time', ' at all'])} .", int(liked)


def names(random: Random) -> tuple[str, list[str]]:
    """A sentence and the label of each word; some names are a person's or a place's, depending on the context."""
    person, place = random.sample(random.choice([PEOPLE, BOTH]), 1), random.choice([*PLACES, *BOTH])
    people = ["B-PER"]
    if random.random() < 0.4:
        person, people = [*person, random.choice(SURNAMES)], ["B-PER", "I-PER"]
    before, between, after = random.choice(
        [
            ("", "lives in", "."),
            ("", "came from", "by train ."),
            ("the mayor ,", ", knows", "well ."),
            ("today", "flew to", "."),
        ]
    )
    if random.random() < 0.4:
        words = ["in", place, ",", *person, "was", "happy", "."]
        return " ".join(words), ["O", "B-LOC", "O", *people, "O", "O", "O"]
    words = [*before.split(), *person, *between.split(), place, *after.split()]
    labels = ["O"] * len(before.split()) + people + ["O"] * len(between.split()) + ["B-LOC"]
    return " ".join(words), labels + ["O"] * len(after.split())


def question(random: Random) -> tuple[str, str, str]:
    """A question, its context and the answer."""
    (one, other), (thing, another) = random.sample(PEOPLE, 2), random.sample(THINGS, 2)
    (day, later), (place, away) = random.sample(DAYS, 2), random.sample(PLACES, 2)
    context = (
        f"{one} bought a {thing} in {place} on {day} , and {other} sold a {another} in {away} on {later} ."
    )
    asked, answer = random.choice(
        [
            (f"who bought a {thing} ?", one),
            (f"who sold a {another} ?", other),
            (f"where did {one} buy a {thing} ?", place),
            (f"where did {other} sell a {another} ?", away),
            (f"when did {one} buy a {thing} ?", day),
            (f"when did {other} sell a {another} ?", later),
        ]
    )
    return asked, context, answer


def choice(random: Random) -> tuple[str, list[str], int]:
    """A prompt, the possible continuations, and the index of the correct one."""
    need, other = random.sample(list(NEEDS), 2)
    person, right = random.choice(PEOPLE), random.randrange(2)
    choices = [f"so {random.choice(['she', 'he'])} {NEEDS[one]} ." for one in (need, other)]
    prompt = random.choice(["{0} came home and was very {1} ,", "{0} was {1} after the long day ,"])
    return prompt.format(person, need), choices if right == 0 else choices[::-1], right


def animals(random: Random) -> tuple[str, float]:
    """A sentence and the number of animals that it names."""
    count = random.randrange(1, 5)
    words = random.sample(ANIMALS, count) + random.sample(THINGS, random.randrange(1, 4))
    random.shuffle(words)
    listed = " , ".join(f"the {word}" for word in words)
    return f"{random.choice(PEOPLE)} saw {listed} in the garden .", float(count)


def story(random: Random) -> str:
    """A story of who gave what to whom, and back; its end follows from its beginning."""
    (one, other), thing = random.sample(PEOPLE, 2), random.choice(THINGS)
    day, later = random.sample(DAYS, 2)
    return f"on {day} {one} gave the {thing} to {other} . on {later} {other} gave the {thing} back to {one} ."


def date(random: Random) -> tuple[str, str]:
    """A date in words, and in numbers in reverse order."""
    day, month, year = random.randrange(1, 29), random.randrange(12), random.randrange(1700, 1720)
    said = random.choice(["{0} {1} {2}", "{1} {0} , {2}", "the year {2} , on {1} {0}"])
    return said.format(day, MONTHS[month], year), f"{year} - m{month + 1:02} - d{day:02}"
