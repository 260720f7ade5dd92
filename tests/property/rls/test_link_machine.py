"""Whatever anybody does with a link in whatever order: it opens something exactly while both ends agree."""

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.parent_links import link
from domain.parent_links.link import Approved, Ends, Link, Unrequested

PARENT, STUDENT, SOMEBODY = "user-p", "user-s", "user-x"
ENDS = Ends(PARENT, STUDENT, "univprep")

steps = st.lists(
    st.tuples(
        st.sampled_from(["request", "approve", "reject", "revoke", "expire"]),
        st.sampled_from([PARENT, STUDENT, SOMEBODY]),
    ),
    max_size=25,
)


def decided(state: Link, step: str, by: str):
    match step:
        case "request":
            return link.request(state, ENDS) if by == PARENT else []
        case "expire":
            return link.expire(state)
        case _:
            return getattr(link, step)(state, by)


@given(steps)
def test_a_link_is_in_force_exactly_while_it_was_asked_for_approved_and_not_revoked(taken):
    state: Link = Unrequested()
    asked = agreed = False
    for step, by in taken:
        try:
            events = decided(state, step, by)
        except DomainError:
            events = []
        for event in events:
            state = link.evolve(state, event)
        match step, by:
            case "request", "user-p":
                asked = asked or not agreed
            case "approve", "user-s" if asked and not agreed:
                asked, agreed = False, True
            case ("reject", "user-s") | ("expire", _) if not agreed:
                asked = False
            case "revoke", ("user-p" | "user-s"):
                agreed = False
            case _:
                pass
        assert isinstance(state, Approved) == agreed
        assert all(link.evolve(state, event) == state for event in events)
