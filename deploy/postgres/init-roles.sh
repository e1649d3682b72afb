#!/bin/sh
# Makes Login2FA's roles and schemas with roles.sql. The passwords come from AUTH_DB_PASSWORD and
# USERS_DB_PASSWORD, or from the files that AUTH_DB_PASSWORD_FILE and USERS_DB_PASSWORD_FILE name.
#
# In the postgres image: mount this file into /docker-entrypoint-initdb.d, and roles.sql at
# /etc/login2fa/roles.sql - not beside this file: the image runs every *.sql that it finds there.
#
# By an operator: psql's own variables say where (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE):
#     PGHOST=... PGUSER=postgres PGDATABASE=login2fa AUTH_DB_PASSWORD=... USERS_DB_PASSWORD=... ./init-roles.sh

# The image sources a file that is not executable: a subshell keeps our options and variables from its script.
(
set -eu

fail() {
    echo "init-roles.sh: $1" >&2
    exit 1
}

# The value of the variable $1, or the content of the file that $1_FILE names.
secret() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$1_FILE names $file, which can not be read"
        value=$(cat "$file")
    fi
    [ -n "$value" ] || fail "set $1 or $1_FILE"
    case $value in
        *"
"*) fail "$1 holds a line break" ;;
    esac
    # PGOPTIONS is split at blanks; backslashes keep them.
    printf '%s' "$value" | sed 's/[\\[:space:]]/\\&/g'
}

beside=$(dirname -- "$0")/roles.sql
if [ -r "$beside" ]; then roles=$beside; else roles=/etc/login2fa/roles.sql; fi
[ -r "$roles" ] || fail "roles.sql is neither beside this file nor in /etc/login2fa"

auth=$(secret AUTH_DB_PASSWORD)
users=$(secret USERS_DB_PASSWORD)

# In the environment, where only this user and root can read it; a command line can be read by everybody.
export PGOPTIONS="${PGOPTIONS:-} -c login2fa.auth_password=$auth -c login2fa.users_password=$users"
export PGUSER="${PGUSER:-${POSTGRES_USER:-postgres}}"
export PGDATABASE="${PGDATABASE:-${POSTGRES_DB:-$PGUSER}}"
psql --no-psqlrc --no-password --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --file="$roles"
)
