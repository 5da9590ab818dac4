"""TAXII servers that nobody here wrote, on loopback: medallion 3.0.0 and OpenTAXII 0.9.3.

OpenTAXII needs a JSON encoder for UUIDs to answer at all; neither is changed otherwise.
"""

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

COLLECTIONS = ("reports-in", "orders-out", "feedback-in")
USER, PASSWORD = "agent1", "pw-agent1"
MEDIA = "application/stix+json;version=2.1"

SHIM = """import json, uuid
default = json.JSONEncoder.default
json.JSONEncoder.default = lambda self, value: str(value) if isinstance(value, uuid.UUID) else default(self, value)
from opentaxii.http import app
"""

OPENTAXII = """---
domain: "127.0.0.1:{port}"
support_basic_auth: yes
return_server_error_details: yes
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "sqlite:///auth.db", create_tables: yes, secret: test-only, token_ttl_secs: 3600}}
taxii1:
taxii2:
  contact: "soc@example.test"
  title: "Coordinator (OpenTAXII)"
  description: "loopback"
  max_content_length: 65536
  public_discovery: false
  allow_custom_properties: true
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "sqlite:///data.db", create_tables: yes}}
logging: {{opentaxii: warning, root: warning}}
"""


@dataclass(frozen=True)
class Peer:
    """A running server: its API root, and an account that reads and writes."""

    url: str
    user: str = USER
    password: str = PASSWORD


def installed(top: Path) -> Path:
    """The folder with the servers, made when it is not there; skips where that cannot be done (no network)."""
    tool = [str(top / "tools/taxii-peers.sh")]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode != 0:
        pytest.skip(f"the TAXII servers cannot be installed: {done.stderr[-200:]}")
    return Path(done.stdout.strip())


@contextmanager
def medallion(peers: Path, folder: Path) -> Iterator[Peer]:
    """medallion on a free port; ``read-only`` and ``write-only`` are collections with half the rights."""
    port = _free_port()
    root = f"http://127.0.0.1:{port}/cc/"
    information = {"title": "Coordinating centre", "versions": ["application/taxii+json;version=2.1"]}
    rights = {**dict.fromkeys(COLLECTIONS, (True, True)), "read-only": (True, False), "write-only": (False, True)}
    collections = [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "title": name,
            "can_read": reads,
            "can_write": writes,
            "media_types": [MEDIA],
            "objects": [],
            "manifest": [],
        }
        for name, (reads, writes) in rights.items()
    ]
    data = {
        "/discovery": {"title": "Coordinator (medallion)", "default": root, "api_roots": [root]},
        "cc": {"information": information | {"max_content_length": 65536}, "status": [], "collections": collections},
    }
    (folder / "data.json").write_text(json.dumps(data))
    backend = {
        "module": "medallion.backends.memory_backend",
        "module_class": "MemoryBackend",
        "filename": str(folder / "data.json"),
    }
    config = {"backend": backend, "users": {USER: PASSWORD}, "taxii": {"max_page_size": 100}}
    (folder / "config.json").write_text(json.dumps(config))
    command = [str(peers / "medallion/bin/medallion"), "--host", "127.0.0.1", "--port", str(port), "config.json"]
    with _running(command, folder, port):
        yield Peer(root)


@contextmanager
def opentaxii(peers: Path, folder: Path) -> Iterator[Peer]:
    """OpenTAXII on a free port; ``read-only`` is a collection that may not be written."""
    port = _free_port()
    (folder / "conf.yml").write_text(OPENTAXII.format(port=port))
    (folder / "shim.py").write_text(SHIM)
    programs = peers / "opentaxii/bin"
    environment = os.environ | {"OPENTAXII_CONFIG": "conf.yml"}

    setup = folder / "setup.py"
    setup.write_text(_SETUP)
    done = subprocess.run(
        [str(programs / "python"), str(setup), *COLLECTIONS],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    root = done.stdout.strip().splitlines()[-1]
    command = [str(programs / "gunicorn"), "shim:app", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    with _running(command, folder, port, environment):
        yield Peer(f"http://127.0.0.1:{port}/taxii2/{root}/")


_SETUP = f"""import sys
from opentaxii.cli import app
with app.app_context():
    api = app.taxii_server.servers.taxii2.persistence.api
    root = api.add_api_root("cc", "", True, True)
    for name, can_write in [*((name, True) for name in sys.argv[1:]), ("read-only", False)]:
        api.add_collection(str(root.id), name, "", name, True, can_write)
    app.taxii_server.auth.api.create_account({USER!r}, {PASSWORD!r})
    print(root.id)
"""


@contextmanager
def _running(
    command: Sequence[str], folder: Path, port: int, environment: dict[str, str] | None = None
) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + 40
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{command[0]} did not answer: {log.read_text()}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
