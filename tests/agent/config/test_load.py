"""Configuration files: mistakes carry their place and what to write instead; the default file is the schema."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.config import Config, Layout, default_text, load, problems
from tapwarden.agent.config.document import parse_document
from tapwarden.agent.config.load import schema_keys
from tapwarden.agent.config.quantity import format_duration, parse_duration, parse_size
from tapwarden.model.errors import ConfigError

POLICY = """
triage:
  policies:
    - name: beacon
      match: {sid: 9000001}
      decide:
        measure: block
        targets: dest
        scope: this host
        reason: Known server
        legal_basis: Policy 4
        duration: 4h
"""


def write(tmp_path: Path, text: str, name: str = "tapwarden.yaml") -> Layout:
    file = tmp_path / "etc" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return Layout.at(tmp_path)


def only_problem(tmp_path: Path, text: str) -> str:
    layout = write(tmp_path, text)
    found = problems(layout)
    assert len(found) == 1, found
    return str(found[0]).removeprefix(str(layout.etc) + "/")


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load(Layout.at(tmp_path)) == Config()


def test_the_default_file_loads_to_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, default_text())) == Config()


def test_the_default_file_documents_every_key_of_the_schema_and_no_other() -> None:
    uncommented = re.sub(r"(?m)^( *)# {3}( *[-\w].*)$", r"\1  \2", default_text())
    uncommented = re.sub(r"(?m)^( *\w+:) (\[\]|\{\})$", r"\1", uncommented)
    values = yaml.safe_load(uncommented)
    documented = set()

    def walk(value: object, at: str) -> None:
        if isinstance(value, dict) and at not in {"sensor.vars", "sensor.engine"}:
            for key, inner in value.items():
                documented.add(f"{at}.{key}".lstrip("."))
                walk(inner, f"{at}.{key}".lstrip("."))
        elif isinstance(value, list):
            for inner in value:
                walk(inner, at)

    walk(values, "")
    assert documented == set(schema_keys())
    example = Config.model_validate({"triage": values["triage"]})
    assert example.triage.policies[0].decide is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sensor:\n  nme: x\n", "2: sensor.nme: unknown key; did you mean name?"),
        ("sensr: {}\n", "1: sensr: unknown key; did you mean sensor?"),
        ("sensor:\n  retention: 3d\n", "2: sensor.retention: unknown key"),
        (
            "retention:\n\n  dns: 30\n",
            "3: retention.dns: 30 is not a duration; write it with its unit",
        ),
        (
            "retention:\n  max_size: many\n",
            "2: retention.max_size: 'many' is not a size; write for example 512 MB",
        ),
        ("sensor:\n  workers: four\n", "2: sensor.workers: input should be a valid integer"),
        ("sensor: eth0\n", "1: sensor: has to be a mapping, not 'eth0'"),
        ("sensor:\n  rules: a.rules\n", "2: sensor.rules: has to be a list (`- item`), not 'a.rules'"),
        (
            "sensor:\n  home_net:\n    - 10.0.0.0/8\n    - home\n",
            "4: sensor.home_net[1]: 'home' is not an addr",
        ),
        ("mitigation:\n  mode: off\n", "2: mitigation.mode: input should be 'dry-run' or 'enforce'"),
        ("a: [\n", "2: is not YAML"),
        ("a: 1\na: 2\n", "2: a: stands twice (first in line 1); remove one"),
        ("- a\n", "1: has to be a mapping"),
        ("dashboard:\n  listen: 0.0.0.0\n", "1: dashboard: passwords would cross the network readable"),
        ("store:\n  backend: elasticsearch\n", "1: store: backend: elasticsearch needs elasticsearch.urls, for"),
        (
            "store:\n  elasticsearch:\n    urls: [es1.example]\n",
            "3: store.elasticsearch.urls[0]: 'es1.example' is not a node's URL, for example https://es1.example:9200",
        ),
        (
            "store:\n  elasticsearch: {urls: ['http://es1.example'], api_key_file: key}\n",
            "2: store.elasticsearch: a password or API key would cross the network readable: write https:// in http://es1",
        ),
        (
            "store:\n  elasticsearch: {urls: ['https://es1.example'], user: tapwarden}\n",
            "2: store.elasticsearch: give both user and password_file",
        ),
        (
            "reporting:\n  coordinator:\n    url: http://192.0.2.1/\n",
            "3: reporting.coordinator.url: reports leave",
        ),
        (
            POLICY.replace("legal_basis: Policy 4", 'legal_basis: ""'),
            "11: triage.policies[0].decide.legal_basis",
        ),
        (
            POLICY.replace("        duration: 4h\n", ""),
            "6: triage.policies[0].decide.duration: is missing",
        ),
        (
            POLICY.replace("sid: 9000001", ""),
            "5: triage.policies[0].match: an empty match would take every",
        ),
        (
            POLICY.replace("measure: block", "measure: sinkhole"),
            "6: triage.policies[0].decide: sinkhole acts on",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    assert only_problem(tmp_path, text).startswith(f"tapwarden.yaml:{message}")


def test_every_mistake_is_listed_and_the_first_one_says_how_many_more(tmp_path: Path) -> None:
    layout = write(tmp_path, "sensor:\n  a: 1\n  b: 2\nc: 3\n")
    assert [error.line for error in problems(layout)] == [2, 3, 4]
    with pytest.raises(ConfigError, match="and 2 more"):
        load(layout)


def test_conf_d_is_laid_over_the_main_file_in_order_of_name(tmp_path: Path) -> None:
    write(tmp_path, "sensor: {name: main, workers: 3}\n")
    write(tmp_path, "sensor: {name: late}\n", "conf.d/20-late.yaml")
    layout = write(tmp_path, "sensor: {name: early}\n", "conf.d/10-early.yaml")
    config = load(layout, settings=["sensor.bpf=tcp"])
    assert (config.sensor.name, config.sensor.workers, config.sensor.bpf) == ("late", 3, "tcp")


def test_a_mistake_in_conf_d_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "sensor: {workers: 3}\n")
    layout = write(tmp_path, "\nsensor: {wrkers: 3}\n", "conf.d/x.yaml")
    assert str(problems(layout)[0]).endswith("conf.d/x.yaml:2: sensor.wrkers: unknown key; did you mean workers?")


def test_a_named_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(Layout.at(tmp_path), tmp_path / "absent.yaml")


def test_a_root_moves_everything(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    assert {p.parent for p in (layout.etc, layout.lib, layout.log, layout.run)} == {tmp_path}
    assert layout.state("events") == tmp_path / "lib" / "events"
    assert layout.state("/srv/events") == Path("/srv/events")


@pytest.mark.parametrize(("text", "octets"), [("20 GB", 20_000_000_000), ("64MiB", 67_108_864), ("1.5 kB", 1500)])
def test_sizes_are_read_as_people_write_them(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@given(st.integers(min_value=1, max_value=10**8))
def test_a_printed_duration_is_read_back_as_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_otherwise_than_with_a_config_error(text: str) -> None:
    try:
        parse_document(text, "f")
    except ConfigError:
        return
