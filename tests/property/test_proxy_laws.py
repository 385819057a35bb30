from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.net.errors import NetworkError
from agent.net.message import parse_url
from agent.net.proxy import Environment, excepts

pytestmark = pytest.mark.property

TARGETS = st.sampled_from(["https://a.test", "http://10.0.0.1:4318", "https://[fd00::1]"]).map(parse_url)


@given(st.text(max_size=30), st.sampled_from(["a.test", "10.0.0.1", "fd00::1"]))
def test_no_rule_breaks_the_choice(rule: str, host: str):
    """Whatever stands in NO_PROXY, there is an answer for each request."""
    assert excepts(rule.lower(), host, 443) in (True, False)


@given(st.text(max_size=40) | st.from_regex(r"(https?://)?(u:p@)?[a-z.:\[\]0-9]{0,12}/?", fullmatch=True), TARGETS)
def test_no_variable_breaks_the_choice(value: str, target):
    """Whatever stands in ALL_PROXY gives a proxy, none, or an error that says which variable is wrong."""
    try:
        proxy = Environment({"ALL_PROXY": value}).choose(target)
        told = "" if proxy is None else str(proxy)
    except NetworkError as error:
        told = str(error)
    assert told.startswith(("http", "ALL_PROXY: ")) or not told
