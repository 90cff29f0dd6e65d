"""REPLICAS, CPUS and ARCHIVES_URL: what may be typed, and for which runtime."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lesions.errors import UserError
from zoo.serving.ray.runtime import Ray
from zoo.serving.ray.settings import MOST_REPLICAS, Settings, least_and_most, settings
from zoo.serving.runtime import get_runtime


@given(st.integers(1, MOST_REPLICAS), st.integers(0, 50))
def test_a_number_or_a_range(least: int, more: int) -> None:
    most = min(MOST_REPLICAS, least + more)
    assert least_and_most(str(least)) == (least, least)
    assert least_and_most(f" {least}-{most} ") == (least, most)
    assert (settings(f"{least}-{most}").least, settings(f"{least}-{most}").most) == (least, most)


@given(st.text(max_size=8))
def test_other_text_is_refused_with_what_is_meant(text: str) -> None:
    try:
        least, most = least_and_most(text)
    except ValueError as error:
        assert "replicas are a number from 1 to 1000, or two, as in 1-4" in str(error)
        if text:
            with pytest.raises(UserError, match=r"^REPLICAS="):
                settings(text)
    else:
        assert 1 <= least <= most <= MOST_REPLICAS


@pytest.mark.parametrize("text", ["0", "4-1", "1-", "-2", "1001", "2.5", "many", "1-4-8"])
def test_wrong_replicas(text: str) -> None:
    with pytest.raises(UserError, match=f"^REPLICAS={text}: replicas are a number"):
        settings(text)
    with pytest.raises(ValidationError):
        Settings(replicas=text)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "half", "1001", "0.00001", "0.12345"])
def test_wrong_cpus(text: str) -> None:
    with pytest.raises(UserError, match=f"^CPUS={text}: what a replica reserves"):
        settings(cpus=text)
    with pytest.raises(ValidationError):
        Settings.model_validate({"cpus": text})


@given(st.integers(0, 10_000_000))
def test_cpus_are_what_ray_can_count(number: int) -> None:
    text = f"{number / 10_000:.4f}"
    assert settings(cpus=text).cpus == float(text)


def test_yaml_has_numbers() -> None:
    assert Settings.model_validate({"replicas": 3, "cpus": 1}).most == 3


def test_other_runtimes_have_no_such_settings() -> None:
    assert isinstance(get_runtime("ray", replicas="2", cpus=""), Ray)
    assert get_runtime("local", replicas="") is get_runtime("local")
    for name in ("local", "torchserve"):
        with pytest.raises(UserError, match=f"^REPLICAS, CPUS: RUNTIME={name} has no such setting; RUNTIME=ray has"):
            get_runtime(name, replicas="2", cpus="1", archives_url="")


def test_the_cluster_is_what_the_environment_names_now(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = get_runtime("ray")
    assert isinstance(runtime, Ray)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert runtime.settings.address == "10.0.0.1:6379"
