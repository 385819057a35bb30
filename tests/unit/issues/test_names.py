"""Names as Sentry takes them."""

from __future__ import annotations

from itertools import combinations

import pytest

from agent.issues.envelope.names import (
    changes,
    command_slug,
    environment,
    environment_of,
    is_slug,
    probe_slug,
    release,
    release_of,
    slug,
)

LIVE = "billing-https://billing.internal.example.net:8443/health/live"
READY = "billing-https://billing.internal.example.net:8443/health/ready"


@pytest.mark.parametrize("text", ["nightly-import", "a", "shop_eu-1", "x" * 50])
def test_a_slug_stays(text):
    """A text that Sentry accepts as a slug is sent as it is."""
    assert slug(text) == text
    assert is_slug(text)


@pytest.mark.parametrize("text", ["Nightly", "a b", "12345", "", "-a", "x" * 51, "ночной импорт", "夜間", "a.b", "a/b"])
def test_another_text_is_no_slug(text):
    """A text that Sentry would refuse or change is changed before it is sent."""
    assert not is_slug(text)
    assert is_slug(slug(text))


def test_different_names_are_different_slugs():
    """Names that differ only behind the fiftieth character, in case, in other letters or in separators stay different."""
    names = [LIVE, READY, "заказы", "счета", "夜", "a.b", "a-b", "a b", "A-b", "12", "outrider", ""]
    assert all(slug(one) != slug(other) for one, other in combinations(names, 2))


def test_hyphens_make_no_two_probes_one():
    """Wherever a service's name ends and its probe's begins: two pairs of names are two monitors."""
    pairs = [("a-b", "c"), ("a", "b-c"), ("a", "b"), ("a-", "b"), ("a", "-b"), ("a--b", "c"), ("a", "b--c"), ("a", "-b-c"), ("A", "b")]
    slugs = [probe_slug(*pair) for pair in pairs]
    assert len(set(slugs)) == len(pairs)
    assert all(map(is_slug, slugs))
    assert probe_slug("shop", "http-health") == "shop--http-health"


def test_a_changed_slug_can_be_read():
    """The beginning of a changed name is still there."""
    assert slug(LIVE).startswith("billing-https-billing-internal-example-ne")
    assert slug("Shop EU").startswith("shop-eu-")


def test_two_commands_have_two_monitors():
    """Each command of a service has a slug of its own, in which the program and its script are seen, and no other word."""
    commands = [
        ("python3", "jobs/nightly.py"),
        ("python3", "jobs/hourly.py"),
        ("python3", "-m", "shop.jobs", "--password", "hunter2"),
        ("sh", "-c", "exit 0"),
        ("sh", "-c", "exit 1"),
        ("/usr/bin/true",),
    ]
    slugs = [command_slug("shop", command) for command in commands]
    assert [one.rpartition("-")[0] for one in slugs] == [
        "shop-python3-nightly-py",
        "shop-python3-hourly-py",
        "shop-python3-shop-jobs",
        "shop-sh",
        "shop-sh",
        "shop-true",
    ]
    assert len(set(slugs)) == len(commands)
    assert all(map(is_slug, slugs))
    assert command_slug("shop", commands[0]) != command_slug("mail", commands[0])


@pytest.mark.parametrize("day", ["2026-11-29", "2026-11-29T04:00:00Z", "20261129", "1764388800", "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"])
def test_every_run_of_a_command_has_its_monitor(day):
    """A date, a time or an id among the arguments does not make another monitor."""
    assert command_slug("shop", ("import", "--day", day)) == command_slug("shop", ("import", "--day", "2025-01-02"))


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("billing@1.4.2", "billing@1.4.2"),
        ("team/billing@1.4.2", "team-billing@1.4.2"),
        ("fix/a\\b\tc\r\nd\fe", "fix-a-b-c--d-e"),
        (" 1.0 ", "1.0"),
        (".", "release-."),
        ("..", "release-.."),
        ("Latest", "release-Latest"),
        ("", ""),
    ],
)
def test_releases(given, sent):
    """A release without what Sentry refuses."""
    assert release(given) == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("production", "production"),
        ("review/77", "review-77"),
        ("a\\b", "a\\b"),
        ("None", "environment-None"),
        (".", "environment-."),
        ("a\nb", "a-b"),
        ("", ""),
    ],
)
def test_environments(given, sent):
    """An environment without what Sentry refuses."""
    assert environment(given) == sent


def test_too_long_names_stay_different():
    """Sentry counts bytes: what is longer is cut at a character, and a hash keeps it apart from others with the same beginning."""
    for shorten, longest in ((release, 200), (environment, 64)):
        one, other = shorten("ü" * 500 + "1"), shorten("ü" * 500 + "2")
        assert one != other
        assert len(one.encode()) <= longest
        assert one.startswith("ü" * 20)


def test_what_is_changed_is_said():
    """Each changed name is a sentence with both names; a good one is none."""
    assert list(changes("feat/x", "a/b")) == [
        "Sentry does not accept the release 'feat/x': it is sent as 'feat-x'",
        "Sentry does not accept the environment 'a/b': it is sent as 'a-b'",
    ]
    assert list(changes("1.0", "")) == []


def test_release_and_environment_of_a_resource():
    """A release is `name@version`; either spelling of the environment counts."""
    assert release_of({"service.name": "a", "service.version": "1.2"}) == "a@1.2"
    assert release_of({"service.name": "a", "service.version": "b@3"}) == "b@3"
    assert release_of({"service.name": "a"}) == ""
    assert environment_of({"deployment.environment": "x"}) == environment_of({"deployment.environment.name": "x"}) == "x"
