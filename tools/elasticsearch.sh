#!/usr/bin/env bash
# A genuine Elasticsearch server for tests and trials, from Maven Central, on loopback.
#
#   tools/elasticsearch.sh fetch                    the server's files; prints their folder
#   tools/elasticsearch.sh start FOLDER [KEY=VALUE...]
#                                                   a node that keeps everything in FOLDER; prints its address once it answers
#   tools/elasticsearch.sh stop FOLDER              end that node
#
#   ELASTICSEARCH_VERSION   9.2.0 (Java 21 or later) or 8.19.0 (Java 17 or later); the newest that a Java here can run
#   ELASTICSEARCH_HEAP      1g
#   ELASTICSEARCH_OPTIONS   further options of the Java machine, one a line
#   ELASTICSEARCH_SECURE    1: TLS and the account tapwarden / tapwarden-trial; certificates in FOLDER/config
#   MAVEN_REPOSITORY        https://repo1.maven.org/maven2
#
# It is Elastic's integration test distribution: index, bulk, search and aggregations are all there; data streams, ILM,
# scripts, API keys and the licensed features are not.
set -euo pipefail
cd "$(dirname "$0")/.."

TRIAL_PASSWORD=tapwarden-trial
ACCOUNT=nobody          # whom the server runs as when we are root, which it refuses
STARTS_WITHIN_S=120

fail() { echo "elasticsearch: $1" >&2; exit 1; }
progress() { echo "elasticsearch: $1" >&2; }

unprivileged() {
    if [ "$(id -u)" -eq 0 ]; then
        env HOME=/nonexistent setpriv --reuid="$ACCOUNT" --regid="$(id -g "$ACCOUNT")" --clear-groups "$@"
    else
        "$@"
    fi
}

# Where the server's files go: into the checkout, unless the account cannot reach into it.
kept_in() {
    mkdir -p .elasticsearch
    if unprivileged test -x "$PWD/.elasticsearch"; then echo "$PWD/.elasticsearch"; else echo /var/tmp/tapwarden-elasticsearch; fi
}

major_of() { "$1" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p;' | head -n 1; }

# The first Java of at least this version: JAVA_HOME's, the path's, Debian's folder for them.
java_of() {
    local candidate major
    for candidate in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)" /usr/lib/jvm/*/bin/java; do
        [ -x "$candidate" ] || continue
        major=$(major_of "$candidate")
        if [ -n "$major" ] && [ "$major" -ge "$1" ]; then dirname "$(dirname "$(readlink -f "$candidate")")"; return; fi
    done
    return 1
}

choose() {
    version=${ELASTICSEARCH_VERSION:-}
    if [ -z "$version" ]; then
        if java_of 21 >/dev/null; then version=9.2.0; else version=8.19.0; fi
    fi
    case $version in 8.*) needs=17 ;; *) needs=21 ;; esac
    java_home=$(java_of "$needs") || fail "version $version needs Java $needs or later: apt-get install openjdk-17-jre-headless brings 17, Temurin newer ones; set JAVA_HOME"
    kept=$(kept_in)
    server=$kept/elasticsearch-$version
}

# SHA-256 of what was examined; other versions are held against the repository's own sum.
checksum_of() {
    case $1 in
        9.2.0) echo bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b ;;
        8.19.0) echo 14833b2d86c30656901f92049f81fb5777a8e4545413c8656cd1a21b55173033 ;;
    esac
}

fetch() {
    [ ! -e "$server/.complete" ] || return 0
    local archive=elasticsearch-$version.zip repository=${MAVEN_REPOSITORY:-https://repo1.maven.org/maven2} sum
    local address=$repository/org/elasticsearch/distribution/integ-test-zip/elasticsearch/$version/$archive
    mkdir -p "$kept"
    work=$(mktemp -d "$kept/fetching.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    progress "fetching version $version (about 100 MB, once)"
    if ! curl --fail --silent --show-error --location --retry 3 --output "$work/$archive" "$address"; then
        # mvn knows this host's mirrors and proxies
        ! command -v mvn >/dev/null || mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
            "-Dartifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip" "-DoutputDirectory=$work" >&2
    fi
    [ -s "$work/$archive" ] || fail "cannot fetch $address (MAVEN_REPOSITORY names a mirror; mvn's settings are used too)"
    sum=$(checksum_of "$version")
    if [ -n "$sum" ]; then
        echo "$sum  $work/$archive" | sha256sum --check --status || fail "$archive is not what it should be: wrong SHA-256"
    else
        sum=$(curl --fail --silent --show-error --location "$address.sha1") || fail "there is no checksum for $archive"
        echo "${sum:0:40}  $work/$archive" | sha1sum --check --status || fail "$archive is damaged: wrong SHA-1"
    fi
    python3 -m zipfile -e "$work/$archive" "$work"
    chmod -R a+rX "$work/elasticsearch-$version"
    chmod a+x "$work/elasticsearch-$version"/bin/*
    mkdir -p "$work/elasticsearch-$version/plugins" "$work/elasticsearch-$version/logs"
    chmod a+rwx "$work/elasticsearch-$version/logs"
    touch "$work/elasticsearch-$version/.complete"
    rm -rf "$server"
    mv "$work/elasticsearch-$version" "$server"
    rm -rf "$work"
    trap - EXIT
}

secure() {
    local config=$1
    if [ ! -e "$config/server.crt" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Tapwarden trial CA" \
            -keyout "$config/ca.key" -out "$config/ca.crt" 2>/dev/null
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
            -keyout "$config/server.key" -out "$config/server.csr" 2>/dev/null
        openssl x509 -req -in "$config/server.csr" -CA "$config/ca.crt" -CAkey "$config/ca.key" -CAcreateserial -days 30 \
            -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$config/server.crt" 2>/dev/null
    fi
    cat >> "$config/elasticsearch.yml" <<END
xpack.security.enabled: true
xpack.security.autoconfiguration.enabled: false
xpack.security.transport.ssl.enabled: true
xpack.security.transport.ssl.certificate: server.crt
xpack.security.transport.ssl.key: server.key
xpack.security.transport.ssl.certificate_authorities: ca.crt
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: server.crt
xpack.security.http.ssl.key: server.key
END
}

start() {
    local folder port config setting scheme=http
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    shift
    fetch
    config=$folder/config
    mkdir -p "$config" "$folder/data" "$folder/logs" "$folder/tmp"
    cp -r "$server/config/." "$config/"
    cat > "$config/elasticsearch.yml" <<END
cluster.name: tapwarden-trial
network.host: 127.0.0.1
path.data: $folder/data
path.logs: $folder/logs
END
    printf '%s\n' -Xms"${ELASTICSEARCH_HEAP:-1g}" -Xmx"${ELASTICSEARCH_HEAP:-1g}" > "$config/jvm.options.d/heap.options"
    printf '%s\n' "${ELASTICSEARCH_OPTIONS:-}" > "$config/jvm.options.d/further.options"
    for setting in "$@"; do printf '%s: %s\n' "${setting%%=*}" "${setting#*=}" >> "$config/elasticsearch.yml"; done
    grep -q '^discovery\.\|^cluster\.initial' "$config/elasticsearch.yml" || echo "discovery.type: single-node" >> "$config/elasticsearch.yml"
    grep -q '^http\.port' "$config/elasticsearch.yml" || echo "http.port: 9200" >> "$config/elasticsearch.yml"
    if [ "${ELASTICSEARCH_SECURE:-0}" = 1 ]; then scheme=https; secure "$config"; else echo "xpack.security.enabled: false" >> "$config/elasticsearch.yml"; fi
    # with security, a keystore is made on the first start in any case
    [ "$(id -u)" -ne 0 ] || chown -R "$ACCOUNT" "$folder"
    unprivileged test -w "$folder/data" || fail "$folder cannot be reached by the account $ACCOUNT"
    port=$(sed -nE 's/^http\.port: *//p' "$config/elasticsearch.yml" | tail -n 1)
    local environment=(ES_JAVA_HOME="$java_home" ES_PATH_CONF="$config" ES_TMPDIR="$folder/tmp")
    if [ "$scheme" = https ]; then
        unprivileged env "${environment[@]}" "$server/bin/elasticsearch-users" useradd tapwarden -p "$TRIAL_PASSWORD" -r superuser \
            >"$folder/logs/users" 2>&1 || grep -q 'already exists' "$folder/logs/users" || fail "$(cat "$folder/logs/users")"
    fi
    progress "starting version $version with the Java in $java_home"
    unprivileged env "${environment[@]}" "$server/bin/elasticsearch" --daemonize --pidfile "$folder/pid" >"$folder/logs/console" 2>&1 \
        || { tail -n 30 "$folder/logs/console" >&2; fail "it does not start"; }
    local waited=0
    until answers "$scheme" "$port" "$config"; do
        [ "$waited" -lt "$STARTS_WITHIN_S" ] && kill -0 "$(cat "$folder/pid")" 2>/dev/null || { tail -n 30 "$folder/logs/console" >&2; fail "it does not answer"; }
        sleep 0.5
        waited=$((waited + 1))
    done
    echo "$scheme://127.0.0.1:$port"
}

answers() {
    local with=()
    [ "$1" = http ] || with=(--cacert "$3/ca.crt" --user "tapwarden:$TRIAL_PASSWORD")
    curl --fail --silent --max-time 2 "${with[@]}" "$1://127.0.0.1:$2/_cluster/health?filter_path=status" >/dev/null
}

stop() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || { rm -f "$1/pid"; return 0; }
    for _ in $(seq 150); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$1/pid"; return 0; }
        sleep 0.2
    done
    fail "process $pid does not end"
}

case ${1:-} in
    fetch) choose; fetch; echo "$server" ;;
    start) [ $# -ge 2 ] || fail "start needs a folder"; shift; choose; start "$@" ;;
    stop) [ $# -eq 2 ] || fail "stop needs a folder"; stop "$2" ;;
    *) sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
