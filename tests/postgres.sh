#!/usr/bin/env bash
# Runs a command beside a PostgreSQL of its own, which EASEL_TEST_POSTGRES_URL names:
#   tests/postgres.sh .venv/bin/pytest tests/store
# Needs PostgreSQL's programs (Debian: apt install postgresql). Nothing of it is left afterwards.
set -euo pipefail

programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
if ! [ -x "$programs/initdb" ]; then
  programs=$(pg_config --bindir 2>/dev/null) || {
    echo "PostgreSQL's programs were not found. On Debian and Ubuntu: apt install postgresql" >&2
    exit 1
  }
fi

as_its_user() { # PostgreSQL refuses to run as root
  if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

folder=$(mktemp -d)
clean_up() {
  as_its_user "$programs/pg_ctl" stop --silent --mode=immediate --pgdata="$folder/data" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT
[ "$(id -u)" -ne 0 ] || chown postgres "$folder"

as_its_user "$programs/initdb" --pgdata="$folder/data" --username=easel --auth=trust \
  --encoding=UTF8 --no-locale --no-sync >/dev/null
# What is lost with the machine need not last: the folder goes anyway.
cat >>"$folder/data/postgresql.conf" <<'SETTINGS'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
fsync = off
full_page_writes = off
SETTINGS

for attempt in 1 2 3 4 5; do # another process may be quicker to take the port
  port=$((20000 + RANDOM % 12000))
  if as_its_user "$programs/pg_ctl" start --silent --wait --pgdata="$folder/data" \
    --log="$folder/log" --options="-p $port"; then
    break
  fi
  if [ "$attempt" -eq 5 ]; then
    cat "$folder/log" >&2
    exit 1
  fi
done

EASEL_TEST_POSTGRES_URL="postgresql+asyncpg://easel@127.0.0.1:$port/postgres" "$@"
