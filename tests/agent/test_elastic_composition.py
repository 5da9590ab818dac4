"""From the configuration to the Elasticsearch store: its settings, its secrets, and what the doctor says."""

from datetime import timedelta
from pathlib import Path

import pytest

from tapwarden.agent.clock import SystemClock
from tapwarden.agent.composition import elasticsearch_of, open_events
from tapwarden.agent.config import Layout, load
from tapwarden.agent.examination import examine_elasticsearch
from tapwarden.agent.store.classes import EventClass
from tapwarden.agent.store.elastic import ElasticEventStore
from tapwarden.model.errors import ConfigError
from tapwarden.model.ports import EventStore, Expiring

CONFIG = """
store:
  backend: elasticsearch
  elasticsearch:
    urls: ["https://es1.example", "https://es2.example:9201"]
    prefix: fleet
    api_key_file: elasticsearch.key
retention:
  dns: 200d
"""


def a_layout(tmp_path: Path, text: str = CONFIG) -> Layout:
    """An installation with this configuration and an API key."""
    layout = Layout.at(tmp_path)
    layout.etc.mkdir()
    layout.config_file.write_text(text)
    key = layout.etc / "elasticsearch.key"
    key.write_text("aWQ6a2V5\n")
    key.chmod(0o600)
    return layout


def test_the_configuration_says_where_the_cluster_is_and_how_long_what_is_kept(tmp_path: Path) -> None:
    layout = a_layout(tmp_path)
    settings = elasticsearch_of(load(layout), layout)
    assert settings.urls == ("https://es1.example:9200", "https://es2.example:9201")
    assert (settings.prefix, settings.api_key) == ("fleet", "aWQ6a2V5")
    assert settings.keep[EventClass.DNS] == timedelta(days=200)
    assert set(settings.keep) == set(EventClass)


def test_the_store_is_opened_without_asking_the_cluster(tmp_path: Path) -> None:
    layout = a_layout(tmp_path)
    store: EventStore = open_events(load(layout), layout, SystemClock())
    assert isinstance(store, ElasticEventStore)
    assert isinstance(store, Expiring)
    store.close()


def test_a_key_that_everyone_can_read_is_refused(tmp_path: Path) -> None:
    layout = a_layout(tmp_path)
    (layout.etc / "elasticsearch.key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"store\.elasticsearch\.api_key_file: .*chmod 600"):
        open_events(load(layout), layout, SystemClock())


def test_the_doctor_says_that_the_cluster_is_not_reached(tmp_path: Path) -> None:
    layout = a_layout(tmp_path, 'store: {backend: elasticsearch, elasticsearch: {urls: ["http://127.0.0.1:1"]}}\n')
    findings = list(examine_elasticsearch(load(layout), layout))
    assert [(finding.part, finding.state) for finding in findings] == [("elasticsearch", "fail")]
    assert "no connection" in findings[0].text
