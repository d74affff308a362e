"""Hypothesis strategies of AMF values."""

from hypothesis import strategies as st

from rapidrtmp.amf.values import UNDEFINED, Date, ECMAArray, TypedObject, Value, XMLDocument

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = text.filter(bool)
numbers = st.floats(allow_nan=False)

scalars: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    text,
    text.map(XMLDocument),
    st.just(UNDEFINED),
)


def values(
    leaves: st.SearchStrategy[Value], keys: st.SearchStrategy[str]
) -> st.SearchStrategy[Value]:
    """Return values of up to 30 leaves in containers of every kind."""

    def containers(children: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
        members = st.dictionaries(keys, children, max_size=4)
        return st.one_of(
            st.lists(children, max_size=4),
            members,
            members.filter(bool).map(ECMAArray),
            st.builds(TypedObject, members, names),
        )

    return st.recursive(leaves, containers, max_leaves=30)


amf0_values = values(
    scalars | st.builds(Date, numbers, st.integers(-0x8000, 0x7FFF)),
    text,
)
amf3_values = values(
    scalars | st.builds(Date, numbers) | st.integers(-(2**53), 2**53) | st.binary(max_size=300),
    names,
)


def same(left: Value, right: Value) -> bool:
    """Tell whether two values are equal and of the same kinds throughout."""
    if isinstance(left, float) or isinstance(right, float):
        return left == right  # integers over 29 bits travel as doubles
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return all(map(same, left, right))
    return True
