"""The coordinating centre, as configured: how it is reached and what it is sent in."""

from collections.abc import Mapping

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.coordinate.transport import ChannelSettings
from tapwarden.agent.secret import read_token

FORMATS: Mapping[str, str] = {"https": "json", "taxii": "stix"}
"""What each channel carries."""


def channel_settings(config: Config, layout: Layout) -> ChannelSettings:
    """How to reach the centre, its secrets read. Raises ConfigError."""
    centre = config.reporting.coordinator
    key = "reporting.coordinator"

    def file(name: str) -> str:
        return str(layout.setting(name)) if name else ""

    return ChannelSettings(
        url=centre.url,
        token=read_token(layout.setting(centre.token_file), f"{key}.token_file") if centre.token_file else "",
        user=centre.user,
        password=read_token(layout.setting(centre.password_file), f"{key}.password_file") if centre.user else "",
        token_url=centre.token_url,
        ca_file=file(centre.ca_file),
        client_certificate=file(centre.client_certificate),
        client_key=file(centre.client_key),
    )
