"""Print docs/engine-config.md from the engine's configuration, native/core/src/config.rs.

python tools/engine_config_page.py > docs/engine-config.md
"""

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "native/core/src/config.rs"

HEAD = """\
# Engine configuration

Generated from `native/core/src/config.rs` by `tools/engine_config_page.py`. These are the keys of `sensor.engine` in
the configuration, and of the JSON text that `tapwarden._core.Engine` and `RuleSet` take. Everything has a default; a
key that does not exist is an error. From a `suricata.yaml`, `tapwarden read --suricata-yaml FILE` fills them in.

```yaml
sensor:
  engine:
    checksum_validation: false
    stream: {midstream: true}
    app_layer: {http: {ports: [80, 8080]}}
```
"""

STRUCT = re.compile(
    r"((?:^///[^\n]*\n)+)(?:^#\[[^\n]*\n)+^pub (?:struct|enum) (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
FIELD = re.compile(r"((?:^ +///.*\n)+)^ +pub (\w+): (.+),$", re.MULTILINE)
VARIANT = re.compile(r"((?:^ +///.*\n)+)(?:^ +#\[.*\n)*^ +(\w+),$", re.MULTILINE)
DEFAULTS = re.compile(r"^impl Default for (\w+) \{.*?^ {8}\w+ \{\n(.*?)^ {8}\}", re.MULTILINE | re.DOTALL)

TYPES = {
    "bool": "boolean",
    "String": "text",
    "Vec<String>": "list of text",
    "Vec<u16>": "list of numbers",
    "BTreeMap<String, String>": "mapping",
    "BTreeMap<String, Vec<String>>": "mapping to lists",
    "BTreeMap<String, BTreeMap<String, String>>": "mapping of mappings",
    "BTreeMap<String, AppProtocol>": "mapping, see app_layer.NAME",
    "[u32; 4]": "4 numbers",
}
DERIVED = {"bool": "false", "String": '""', "Vec": "[]", "BTreeMap": "{}"}
EMPTY = {"String::new()": '""', "Vec::new()": "[]", "BTreeMap::new()": "{}"}


def words(doc: str) -> str:
    """A doc comment as one line."""
    return " ".join(line.strip().removeprefix("///").strip() for line in doc.strip().splitlines()).replace("|", "\\|")


def shown(value: str) -> str:
    """A default as YAML would have it."""
    value = EMPTY.get(value, value)
    value = re.sub(r"^vec!(\[.*\])$", r"\1", value).replace(".into()", "").replace("_", "")
    shift = re.fullmatch(r"(\d+) << (\d+)", value)
    return str(int(shift[1]) << int(shift[2])) if shift else value


def page(source: str) -> str:
    """The page for this source text."""
    structs = {name: (words(doc), body) for doc, name, body in STRUCT.findall(source)}
    defaults = {
        name: {key: shown(value) for key, value in re.findall(r"^ +(\w+): (.+),$", body, re.MULTILINE)}
        for name, body in DEFAULTS.findall(source)
    }
    lines = [HEAD]

    def section(title: str, name: str) -> None:
        doc, body = structs[name]
        lines.extend([f"## {title}", "", doc, "", "| key | type | default | meaning |", "|---|---|---|---|"])
        inner = []
        for text, key, kind in FIELD.findall(body):
            if kind in structs and FIELD.search(structs[kind][1]):
                inner.append((key, kind))
                continue
            given = defaults[name].get(key, "") if name in defaults else DERIVED.get(kind.partition("<")[0], "")
            choices = (
                [re.sub(r"(?<!^)([A-Z])", r"-\1", variant).lower() for _, variant in VARIANT.findall(structs[kind][1])]
                if kind in structs
                else []
            )
            type_name = " or ".join(choices) or TYPES.get(kind, "number")
            lines.append(f"| `{key}` | {type_name} | {f'`{given}`' if given else ''} | {words(text)} |")
        lines.append("")
        for key, kind in inner:
            section(key, kind)
        if name == "Config":
            section("app_layer.NAME", "AppProtocol")

    section("At the top", "Config")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(SOURCE.read_text(encoding="utf-8")), end="")
