"""Any value of a variable is taken, or refused in one line that names the variable."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker import settings as module
from tracker.errors import SettingsError
from tracker.settings import load

VARIABLES = {field.metadata["name"]: field.metadata for field in module.fields(module.Settings)}
ALPHABET = st.characters(exclude_categories=()) | st.sampled_from("0123456789=;:/,.*-_ ae")
shaped = st.lists(
    st.sampled_from(
        ["http://", "redis://", "host", ":", "80", "/", "simulator", "=", ";", ",", "nan", "1", "1e9", "@"]
    ),
    max_size=8,
).map("".join)


def begins_with_a_variable(refusal: SettingsError) -> bool:
    """It may be another one, which the one that is set needs."""
    return str(refusal).partition("=")[0] in VARIABLES


@settings(max_examples=500)
@given(name=st.sampled_from(sorted(VARIABLES)), text=st.text(ALPHABET, max_size=30) | shaped)
def test_whatever_the_value_it_is_taken_or_refused_by_name(name, text):
    text = f"hunter2{text}" if VARIABLES[name]["secret"] else text
    try:
        assert load({name: text}).ring
    except SettingsError as refusal:
        assert begins_with_a_variable(refusal) and name in str(refusal) and "expected" in str(refusal)
        assert "hunter2" not in str(refusal) and len(str(refusal)) < 1_000
        assert len(str(refusal).splitlines()) == 1


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text(max_size=5) | shaped, max_size=5))
def test_whatever_the_values_they_are_taken_or_one_is_refused(environment):
    try:
        assert load(environment).clock.now() > 0
    except SettingsError as refusal:
        assert begins_with_a_variable(refusal) and any(name in str(refusal) for name in environment)


@settings(max_examples=100)
@given(st.text(ALPHABET, max_size=300))
def test_whatever_the_name_of_a_file_it_is_refused_in_a_line(text):
    with pytest.raises(SettingsError) as refusal:
        load({"API_PORT_FILE": f"/nowhere/{text}"})
    assert str(refusal.value).startswith("API_PORT_FILE=") and len(str(refusal.value).splitlines()) == 1
