"""Indicator files: types are seen from the values, packed files are read, lines that are none are counted."""

import gzip
from pathlib import Path

import pytest
import zstandard

from tapwarden.model.errors import SourceError
from tapwarden.model.indicator import IndicatorType
from tapwarden.signatures.indicator_file import indicator_type, read_indicators


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.66", IndicatorType.IP),
        ("2001:db8::66", IndicatorType.IP),
        ("203.0.113.66:8080", IndicatorType.IP_PORT),
        ("[2001:db8::66]:443", IndicatorType.IP_PORT),
        ("203.0.113.0/24", IndicatorType.NETWORK),
        ("evil.example", IndicatorType.DOMAIN),
        ("_dmarc.evil.example.", IndicatorType.DOMAIN),
        ("bücher.example", IndicatorType.DOMAIN),
        ("http://evil.example/a?b", IndicatorType.URL),
        ("evil.example/a/b", IndicatorType.URL),
        ("203.0.113.66/gate.php", IndicatorType.URL),
        ("d41d8cd98f00b204e9800998ecf8427e", IndicatorType.FILE_HASH),
        ("t13d1516h2_8daaf6152771_e5627efa2ab1", IndicatorType.JA4),
        ("localhost", None),
        ("not an indicator", None),
        ("999.1.1.1:99999", None),
        ("-bad-.example", None),
    ],
)
def test_the_type_is_seen_from_the_value(text: str, expected: IndicatorType | None) -> None:
    assert indicator_type(text) == expected


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_plain_and_packed_files_give_the_same_indicators(tmp_path: Path, suffix: str) -> None:
    text = b"# a comment\n\nevil.example, a beacon\n203.0.113.66\nnot an indicator\n"
    packed = {"": lambda data: data, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](text)
    path = tmp_path / f"blocklist.txt{suffix}"
    path.write_bytes(packed)
    found = read_indicators(path)
    assert found.items == [
        ("domain", "evil.example", "blocklist", "a beacon"),
        ("ip", "203.0.113.66", "blocklist", ""),
    ]
    assert (found.bad, found.bad_lines) == (1, [(5, "not an indicator")])


def test_a_file_that_is_missing_or_cut_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_indicators(tmp_path / "missing.txt")
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(gzip.compress(b"evil.example\n" * 1000)[:-10])
    with pytest.raises(SourceError, match="cannot be read"):
        read_indicators(cut)
