"""How a dashboard is set up; the composition fills it from the configuration."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """Where it listens, for whom, and how long a log-in lasts.

    ``allowed_hosts`` are the names (without port) the Host header may carry: anything else is refused, so that a page
    elsewhere cannot reach the dashboard by rebinding its own name to 127.0.0.1. ``tls_certificate`` and ``tls_key`` are
    PEM files; ``behind_tls`` says that a proxy in front ends TLS. ``enforcing`` is only shown: the desk decides.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    tls_certificate: str = ""
    tls_key: str = ""
    behind_tls: bool = False
    site: str = ""
    """Shown beside the product's name, so that two dashboards in two tabs are told apart."""
    enforcing: bool = False
    legal_bases: tuple[str, ...] = ()
    """Suggested in the decision form."""
    idle_s: int = 30 * 60
    lifetime_s: int = 12 * 3600
    """A log-in ends after one long shift even when it never was idle."""
    max_sessions: int = 256
    max_sessions_per_user: int = 8
    login_failures: int = 5
    """Failed log-ins of one name from one address within ``login_window_s`` before further ones are refused."""
    login_failures_per_address: int = 20
    login_window_s: int = 300
    public: bool = False
    """Whether complaints and answers to notices are taken from people without an account."""
    public_intro: str = ""
    filings_per_address: int = 5
    """Complaints and answers of one address in an hour."""
    max_body_octets: int = 1 << 20

    @property
    def tls(self) -> bool:
        """Whether browsers speak TLS to us, so that cookies can be Secure."""
        return bool(self.tls_certificate) or self.behind_tls
