"""Suricata's configuration file is understood as Suricata understands it; what cannot be used is said."""

import json
from pathlib import Path

import pytest

from tapwarden.agent.suricata_yaml import apply_setting, engine_config, read_suricata_yaml, unused_keys
from tapwarden.model.errors import ConfigError


def parsed(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "suricata.yaml"
    path.write_text("%YAML 1.1\n---\n" + text)
    return engine_config(read_suricata_yaml(path))


def test_variables_of_the_file_are_laid_over_those_that_published_rules_use(tmp_path: Path) -> None:
    config = parsed(
        tmp_path, 'vars:\n  address-groups: {HOME_NET: "[198.18.0.0/15]"}\n  port-groups: {HTTP_PORTS: 8080}\n'
    )
    assert config["address_vars"]["HOME_NET"] == "[198.18.0.0/15]"
    assert config["address_vars"]["EXTERNAL_NET"] == "!$HOME_NET"
    assert config["port_vars"]["HTTP_PORTS"] == "8080"


def test_sizes_switches_and_timeouts_become_numbers_of_octets_booleans_and_seconds(tmp_path: Path) -> None:
    config = parsed(
        tmp_path,
        """
stream: {midstream: yes, inline: auto, reassembly: {depth: 2mb, toserver-chunk-size: 100, raw: no}}
flow-timeouts: {tcp: {new: 5, closed: 7}}
vlan: {use-for-tracking: false}
packet-alert-max: 300
""",
    )
    assert config["stream"] == {"midstream": True, "depth": 2 << 20, "toserver_chunk_size": 100, "raw": False}
    assert config["flow"]["new_s"] == [5, 30, 30, 30]
    assert config["flow"]["closed_s"] == 7
    assert config["flow"]["vlan_tracking"] is False
    assert config["detect"]["packet_alert_max"] == 300


def test_protocols_keep_every_option_by_its_dotted_name_and_ports_are_expanded(tmp_path: Path) -> None:
    config = parsed(
        tmp_path,
        """
vars: {port-groups: {TEREDO_PORTS: "[3544, 3600:3602]"}}
decoder: {teredo: {enabled: true, ports: $TEREDO_PORTS}, vxlan: {enabled: false}}
app-layer:
  protocols:
    http: {enabled: yes, libhtp: {default-config: {request-body-limit: 100kb}}}
    smb: {enabled: detection-only, detection-ports: {dp: "139, 445"}}
    dns: {tcp: {enabled: no, detection-ports: {dp: 53}}, udp: {enabled: yes}}
""",
    )
    assert config["decoder"] == {"teredo_ports": [3544, 3600, 3601, 3602], "vxlan_ports": []}
    http, smb, dns = (config["app_layer"][name] for name in ("http", "smb", "dns"))
    assert http["options"]["libhtp.default-config.request-body-limit"] == "100kb"
    assert (smb["enabled"], smb["ports"]) == ("detection-only", [139, 445])
    assert (dns["enabled"], dns["options"]["tcp.enabled"]) == ("yes", "no")


@pytest.mark.parametrize(
    ("kind", "extended"),
    [("dhcp", "no"), ("{dhcp: {enabled: yes}}", "no"), ("{dhcp: {extended: yes}}", "yes"), ("dns", None)],
)
def test_dhcp_records_are_as_full_as_the_eve_log_says(tmp_path: Path, kind: str, extended: str | None) -> None:
    config = parsed(tmp_path, f"outputs: [{{eve-log: {{types: [alert, {kind}]}}}}]")
    app_layer = config["app_layer"]
    assert isinstance(app_layer, dict)
    assert app_layer.get("dhcp", {"options": {}})["options"].get("extended") == extended


def test_set_takes_suricatas_dotted_keys_and_the_short_form_for_variables() -> None:
    tree: dict[str, object] = {}
    for setting in ("vars.HOME_NET=[10.0.0.0/8]", "vars.HTTP_PORTS=8000", "stream.midstream=true"):
        apply_setting(tree, setting)
    config = engine_config(tree)
    assert config["address_vars"]["HOME_NET"] == "[10.0.0.0/8]"
    assert config["port_vars"]["HTTP_PORTS"] == "8000"
    assert config["stream"]["midstream"] is True


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stream: {reassembly: {depth: lots}}", "'lots' is not a size"),
        ("packet-alert-max: many", "'many' is not a number"),
        ("stream: {midstream: perhaps}", "neither yes nor no"),
        ("app-layer: {protocols: {x: {detection-ports: {dp: $NOPE}}}}", "not a port variable"),
        ("- a list", "has to be a mapping"),
        ("a: [1", "is not YAML"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace("$", r"\$")):
        parsed(tmp_path, text)


def test_includes_are_read_and_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("packet-alert-max: 7\n")
    assert parsed(tmp_path, "include: more.yaml\n")["detect"]["packet_alert_max"] == 7
    (tmp_path / "more.yaml").write_text("include: more.yaml\n")
    with pytest.raises(ConfigError, match="includes too deep"):
        parsed(tmp_path, "include: more.yaml\n")


def test_what_is_not_used_is_named_and_the_result_is_json() -> None:
    assert unused_keys({"vars": {}, "af-packet": [], "outputs": []}) == ["af-packet", "outputs"]
    json.dumps(engine_config({}))
