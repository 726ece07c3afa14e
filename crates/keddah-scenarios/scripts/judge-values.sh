#!/bin/sh
# Has programs judge bundles of files, JUDGE/HASH/…, below a directory of root's; says `JUDGE HASH ok` of each
# that is taken, and otherwise what the program says.
#   judge-values.sh DIRECTORY             all of them
#   judge-values.sh DIRECTORY JUDGE/HASH  one
directory=$1
script=$(realpath "$0")
cd "$directory" || exit 1
programs=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
said=$(mktemp)

as_postgres() { runuser -u postgres -- "$@"; }

ended() { kill -9 "$1"; wait "$1" 2>/dev/null; true; }

# Waits until a process says something or ends, at most 6 s; then ends it.
until_said() { # pid words
    for _ in $(seq 60); do
        grep -q "$2" "$said" && { ended "$1"; return 0; }
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.1
    done
    # Slow, but not refused.
    ended "$1"
}

judge() { # judge bundle
    bundle=$directory/$2
    case $1 in
    haproxy)
        haproxy -c -f "$bundle/haproxy.cfg" -f "$bundle/auth.cfg" ;;
    patroni)
        as_postgres patroni --validate-config "$bundle" >>"$said" 2>&1 && return 0
        # One problem a line. Whether etcd answers is no matter of the configuration; and Patroni 4.0 knows
        # quorum commit, its validator does not (applied on nodes in the scenario `topology`).
        ! grep -Ev 'is not reachable$|synchronous_mode quorum is not a boolean$' "$said" ;;
    postgresql)
        as_postgres "$programs/postgres" -D "$directory" -c config_file="$bundle/postgresql.conf" -C max_connections ;;
    rules)
        cp "$bundle/pg_hba.conf" /var/lib/postgresql/values.conf
        chmod 644 /var/lib/postgresql/values.conf
        wrong=$(as_postgres psql -p 5999 -d postgres -Atc \
            "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL") || return 1
        echo "$wrong"
        [ -z "$wrong" ] ;;
    pgbouncer)
        sed -i "s|/etc/pgbouncer|$bundle|; s|^logfile = .*|logfile = $bundle/log|" "$bundle"/*.ini
        sockets=$(sed -n 's/^unix_socket_dir = //p' "$bundle/listen.ini")
        mkdir -p "$sockets"
        chown -R postgres "$bundle" "$sockets"
        (exec setpriv --reuid=postgres --regid=postgres --init-groups \
            pgbouncer "$bundle/pgbouncer.ini") >>"$said" 2>&1 &
        until_said $! "process up" ;;
    pgbackrest)
        mkdir -p "$bundle/conf.d"
        [ -e "$bundle/secrets.conf" ] && mv "$bundle/secrets.conf" "$bundle/conf.d"
        sed -i "s|^log-path=.*|log-path=/tmp|" "$bundle/pgbackrest.conf"
        as_postgres timeout 3 pgbackrest --config="$bundle/pgbackrest.conf" \
            --config-include-path="$bundle/conf.d" --stanza=pg-test info 2>&1 | tee -a "$said"
        # Errors 25 to 39 are about options; that a repository is not there is another matter.
        ! grep -Eq '\[0(2[5-9]|3[0-9])\]' "$said" ;;
    keepalived)
        sed -i "s|/etc/keepalived|$bundle|" "$bundle/keddah.conf"
        chmod 755 "$bundle/keddah-ask"
        keepalived --config-test --use-file "$bundle/keddah.conf"
        code=$?
        # Debian 12's ends a test by a signal to itself, whatever it finds.
        [ $code = 0 ] || { [ "$release" = bookworm ] && ! grep -Eiq 'unknown|invalid|error' "$said"; } ;;
    dnsmasq)
        dnsmasq --test --conf-file="$bundle/keddah.conf" ;;
    etcd)
        data=$(mktemp -d)
        (set -a; . "$bundle/etcd"; [ -e "$bundle/bootstrap.env" ] && . "$bundle/bootstrap.env"
            ETCD_DATA_DIR=$data/x exec etcd) >>"$said" 2>&1 &
        until_said $! "ready to serve client requests" ;;
    sudo)
        for file in "$bundle"/*; do
            chmod 440 "$file"
            visudo -c -f "$file" || return 1
        done ;;
    shell)
        for file in "$bundle"/*; do sh -n "$file" && bash -n "$file" || return 1; done ;;
    chrony)
        for file in "$bundle"/*; do chronyd -p -f "$file" || return 1; done ;;
    apt)
        for file in "$bundle"/*; do apt-config -c "$file" dump >/dev/null || return 1; done ;;
    *)
        echo "nobody judges this"; return 1 ;;
    esac
}

if [ -n "$2" ]; then
    name=${2%%/*}
    hash=${2##*/}
    if judge "$name" "$2" >>"$said" 2>&1 </dev/null; then
        echo "$name $hash ok"
    else
        tail -n 8 "$said" | sed "s|$directory/$2|…|g; s|^|$name $hash says: |"
        echo "$name $hash is refused"
    fi
    rm -f "$said"
    exit 0
fi

# What configurations name: certificates, directories, an interface.
mkdir -p /etc/pki /etc/etcd /pg/cert /pg/bin /pg/data /pg/log/patroni /var/log/values /srv/values
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=values \
    -addext subjectAltName=IP:10.10.10.10,IP:127.0.0.1 -keyout /etc/etcd/server.key -out /etc/etcd/server.crt 2>/dev/null
for copy in /etc/pki/ca.crt /etc/pki/etcd-ca.crt /pg/cert/server.crt /pg/cert/etcd.crt; do cp /etc/etcd/server.crt $copy; done
for copy in /pg/cert/server.key /pg/cert/etcd.key; do cp /etc/etcd/server.key $copy; done
chmod 600 /pg/cert/*.key
mkdir -p /usr/local/lib && ln -sf /bin/true /usr/local/lib/keddah-rewind
chown -R postgres /pg /var/log/values
ip link show eth1 >/dev/null 2>&1 || ip link add eth1 type veth peer name eth2
chmod -R a+rX "$directory"
systemctl stop pgbouncer etcd haproxy postgresql 2>/dev/null
# A server that reads access rules, with TLS, without which some of them cannot match.
as_postgres "$programs/initdb" -D /var/lib/postgresql/values -N --auth=trust >/dev/null
cp /var/lib/postgresql/values/pg_hba.conf /var/lib/postgresql/values.conf
chmod 644 /var/lib/postgresql/values.conf
as_postgres "$programs/pg_ctl" -D /var/lib/postgresql/values -w -l /dev/null start >/dev/null \
    -o "-p 5999 -c listen_addresses= -c hba_file=/var/lib/postgresql/values.conf -c ssl=on -c ssl_cert_file=/pg/cert/server.crt -c ssl_key_file=/pg/cert/server.key" \
    || echo "no PostgreSQL for access rules"
# It reads the others by a view, and goes on with these.

# Those with ports and places of their own one by one, beside each other; the others as many as there are processors.
for name in pgbouncer etcd rules; do
    [ -d $name ] && ls -d $name/* | xargs -n 1 sh "$script" "$directory" >$name.said &
done
ls -d */* | grep -Ev '^(pgbouncer|etcd|rules)/' | xargs -P "$(nproc)" -n 1 sh "$script" "$directory"
wait
cat ./*.said
