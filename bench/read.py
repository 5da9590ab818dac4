"""Packets a second of ``tapwarden read``, beside Suricata's on the same file and rules in the same run.

    python bench/read.py [CAPTURE] [-S RULES] [--runs N]

Each program runs N times in turn on one core; medians of CPU seconds and peak memory are printed, and the ratio. The
time to load the rules is measured with a capture of one packet and taken off.
"""

import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


@dataclass
class Run:
    """One run of a program: CPU and wall seconds, peak memory in octets."""

    cpu_s: float
    wall_s: float
    memory: int


def measure(command: list[str], cwd: Path) -> Run:
    """Run a command to its end on one core. Raises SystemExit when it fails."""
    started = time.perf_counter()
    pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
    with subprocess.Popen(
        pinned,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        sys.exit(f"{command[0]} failed ({process.returncode}): {stderr.decode(errors='replace')[-500:]}")
    return Run(usage.ru_utime + usage.ru_stime, time.perf_counter() - started, usage.ru_maxrss * 1024)


def median(runs: list[Run]) -> Run:
    """The median of each figure."""
    return Run(
        statistics.median(r.cpu_s for r in runs),
        statistics.median(r.wall_s for r in runs),
        int(statistics.median(r.memory for r in runs)),
    )


def count_packets(capture: Path) -> int:
    """Packets of a classic little-endian pcap; 0 for another format."""
    count = 0
    with capture.open("rb") as file:
        if file.read(24)[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
            return 0
        while len(header := file.read(16)) == 16:
            file.seek(int.from_bytes(header[8:12], "little"), 1)
            count += 1
    return count


def suricata_yaml(path: Path, classification: Path) -> None:
    """A Suricata configuration with EVE output, as close to what we write as it goes."""
    path.write_text(
        f"""%YAML 1.1
---
vars:
  address-groups: {{HOME_NET: "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]", EXTERNAL_NET: "!$HOME_NET",
    HTTP_SERVERS: "$HOME_NET", SMTP_SERVERS: "$HOME_NET", SQL_SERVERS: "$HOME_NET",
    DNS_SERVERS: "$HOME_NET", TELNET_SERVERS: "$HOME_NET", AIM_SERVERS: "$EXTERNAL_NET", DC_SERVERS: "$HOME_NET",
    DNP3_SERVER: "$HOME_NET",
    DNP3_CLIENT: "$HOME_NET", MODBUS_CLIENT: "$HOME_NET", MODBUS_SERVER: "$HOME_NET", ENIP_CLIENT: "$HOME_NET",
    ENIP_SERVER: "$HOME_NET"}}
  port-groups: {{HTTP_PORTS: "80", SHELLCODE_PORTS: "!80", ORACLE_PORTS: 1521, SSH_PORTS: 22, DNP3_PORTS: 20000,
    MODBUS_PORTS: 502, FILE_DATA_PORTS: "[$HTTP_PORTS,110,143]", FTP_PORTS: 21, GENEVE_PORTS: 6081, VXLAN_PORTS: 4789,
    TEREDO_PORTS: 3544, SIP_PORTS: "[5060, 5061]"}}
classification-file: {classification}
outputs:
  - eve-log: {{enabled: yes, filename: eve.json, community-id: true, types: [{{alert: {{payload: yes,
      payload-printable: yes, packet: yes, metadata: yes}}}}, {{anomaly: {{enabled: yes}}}},
      {{http: {{extended: yes}}}},
      dns, {{tls: {{extended: yes}}}}, {{files: {{force-hash: [md5, sha1, sha256]}}}}, smtp, ftp, smb,
      ssh, dhcp, flow]}}
app-layer:
  protocols: {{tls: {{ja3-fingerprints: yes}}, ssh: {{enabled: yes, hassh: yes}}}}
stream: {{checksum-validation: no, reassembly: {{depth: 1mb}}}}
"""
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", nargs="?", type=Path, default=TOP / "examples" / "infected-host.pcap")
    parser.add_argument("-S", "--rules", type=Path, default=TOP / "examples" / "infected-host.rules")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    capture, rules = args.capture.resolve(), args.rules.resolve()
    tapwarden = Path(sys.executable).with_name("tapwarden")
    suricata = shutil.which("suricata")
    packets = count_packets(capture)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch_name:
        scratch = Path(scratch_name)
        empty = scratch / "one.pcap"
        # One packet that nothing matches: Suricata spins on a capture without any.
        empty.write_bytes(PCAP_HEADER + struct.pack("<IIII", 1, 0, 60, 60) + b"\xff" * 12 + b"\x88\xb5" + bytes(46))
        programs = {
            "tapwarden": lambda file: [
                *(str(tapwarden), "read", str(file), "-S", str(rules)),
                *("-k", "none", "--workers", "1", "-l", str(scratch / "tapwarden")),
            ]
        }
        if suricata:
            classification = Path("/etc/suricata/classification.config")
            suricata_yaml(scratch / "suricata.yaml", classification)
            (scratch / "suricata").mkdir()
            programs["suricata"] = lambda file: [
                *(suricata, "-c", str(scratch / "suricata.yaml"), "-S", str(rules), "-r", str(file)),
                *("-l", str(scratch / "suricata"), "--runmode=single", "-k", "none"),
            ]
        else:
            print("Suricata is not installed: no peer to compare with")
        loading: dict[str, list[Run]] = {name: [] for name in programs}
        whole: dict[str, list[Run]] = {name: [] for name in programs}
        for _ in range(args.runs):
            for name, command in programs.items():
                loading[name].append(measure(command(empty), scratch))
                whole[name].append(measure(command(capture), scratch))
    print(f"{capture.name}: {packets:,} packets, {rules.name}, {args.runs} runs in turn, one core, medians")
    rates = {}
    for name in programs:
        load, total = median(loading[name]), median(whole[name])
        cpu = max(total.cpu_s - load.cpu_s, 1e-9)
        rates[name] = packets / cpu
        print(
            f"{name:10} {rates[name]:12,.0f} packets per CPU second  {cpu:8.2f} CPU s  loading {load.cpu_s:6.2f} CPU s"
            f"  peak memory {total.memory / 1e6:6.0f} MB"
        )
    if "suricata" in rates:
        print(f"ratio      {rates['tapwarden'] / rates['suricata']:.2f}x of Suricata")


if __name__ == "__main__":
    main()
