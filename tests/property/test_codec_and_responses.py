"""What is stored is read again as it was, whatever it says; what fits an item fits it again."""

import unicodedata
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.event_types import EVENT_CLASSES, EVENTS
from domain.items.content import ChoiceKey, is_decimal
from domain.items.responses import ChosenOptions, GivenNumber, GivenText, ResponseDoesNotFit, fitting
from domain.items.scoring import score
from infra.event_store.codec import EventCodec, PlainPersonalCodec
from tests.support.exam_parts import choice, choices, numeric, options, short_text
from tests.support.strategies import EVENTS_BY_CLASS, decimals, recorded, responses, texts


class Sealing:
    """Stores personal values as a struct of their own: whose they are, and the value turned round."""

    def seal(self, subject_id, value):
        return {"of": subject_id, "sealed": msgspec.json.encode(value).hex()[::-1]}

    def open(self, subject_id, sealed):
        assert sealed["of"] == subject_id
        return msgspec.json.decode(bytes.fromhex(sealed["sealed"][::-1]))


def test_there_is_a_strategy_for_every_event_type():
    assert set(EVENTS_BY_CLASS) == set(EVENT_CLASSES)


@pytest.mark.parametrize("personal", [PlainPersonalCodec(), Sealing()], ids=["plain", "sealing"])
@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_an_event_is_read_as_it_was_recorded(cls, personal, data):
    event = data.draw(recorded(cls))
    codec = EventCodec(EVENTS, personal)

    stored = codec.encode(event)
    read = codec.decode(stored.stream_id, stored.version, stored.type, stored.meta, stored.payload)

    assert read == event
    assert type(read.event) is cls
    assert codec.encode(read) == stored


items = st.one_of(
    st.builds(
        lambda ids, key: choice(options=options(*ids), key=ChoiceKey((key,))),
        st.lists(st.sampled_from("abcdef"), min_size=2, unique=True),
        st.sampled_from("abcdef"),
    ),
    st.builds(
        lambda ids, key: choices(options=options(*ids), key=ChoiceKey(tuple(key))),
        st.lists(st.sampled_from("abcdef"), min_size=2, unique=True),
        st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    ),
    st.builds(numeric, decimals, decimals.map(lambda text: text.lstrip("+-"))),
    st.builds(short_text, texts.filter(str.strip)),
)
answers = responses | st.builds(
    lambda chosen: ChosenOptions(tuple(chosen)), st.lists(st.sampled_from("abcdefg"), max_size=5)
)


@given(items, answers)
@settings(max_examples=250, deadline=None)
def test_the_normal_form_of_a_response_is_its_own_normal_form_and_earns_the_same(content, response):
    try:
        normal = fitting(content, response)
    except ResponseDoesNotFit:
        return
    assert fitting(content, normal) == normal
    assert score(content, normal) == score(content, response)
    assert type(normal) is type(response)


@given(st.permutations("abcdef"), st.permutations("abcdef"), st.integers(1, 6))
@settings(deadline=None)
def test_the_order_in_which_options_are_chosen_does_not_matter(on_the_item, chosen, number):
    content = choices(options=options(*on_the_item), key=ChoiceKey(tuple(on_the_item[:number])))

    normal = fitting(content, ChosenOptions(tuple(chosen[:number])))

    assert normal == fitting(content, ChosenOptions(tuple(reversed(chosen[:number]))))
    assert normal.options == tuple(sorted(chosen[:number], key=on_the_item.index))
    assert (score(content, normal) == 2) is (set(chosen[:number]) == set(on_the_item[:number]))


@given(decimals, decimals, decimals)
@settings(max_examples=300, deadline=None)
def test_numbers_are_judged_as_exact_fractions_would_judge_them(key, tolerance, given_number):
    tolerance = tolerance.lstrip("+-")

    right = abs(Fraction(given_number) - Fraction(key)) <= Fraction(tolerance)

    assert (score(numeric(key, tolerance), GivenNumber(given_number)) == 3) is right


@given(st.text("+-.0123456789eE_ \n\u0663\uff13", max_size=8) | decimals)
def test_what_is_taken_for_a_decimal_is_a_number_in_plain_digits(text):
    if is_decimal(text):
        assert Fraction(text) == Fraction(Decimal(text))
        assert set(text) <= set("+-.0123456789")


@given(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    st.sampled_from(["", " ", "\u3000", "\n", "\t "]),
)
@settings(max_examples=300, deadline=None)
def test_no_normal_form_and_no_space_around_it_makes_a_text_wrong(text, form, space):
    given_text = GivenText(space + unicodedata.normalize(form, text) + space)

    for case_sensitive in (True, False):
        assert score(short_text(text, case_sensitive=case_sensitive), given_text) == 4
