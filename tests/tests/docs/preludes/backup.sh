a_log && an_identity
for n in 1 2; do echo "$n" >"f$n" && aip sign "f$n"; done
mkdir -p /media/custody /var/backups/aip-log && cp /var/lib/aip-log/log/log.skey /media/custody/

systemctl() {
    case $1 in
        start) serve_log ;;
        stop) stop_log ;;
    esac
}
more_entries() { for n in 3 4; do echo "$n" >"f$n" && aip sign "f$n" || return; done; }
# What cron does, and any web server.
a_mirror() {
    log-server mirror --from https://log.example.com --to /var/lib/aip-mirror/log --policy policy || return
    mirror=https://mirror.example.org/log
    mirror=${mirror#http://}
    python3 -m http.server --bind "${mirror%:*}" --directory /var/lib/aip-mirror/log "${mirror##*:}" 2>>mirror.txt &
    page_wait "$mirror"
}
everything_is_lost() { stop_log && mv /var/lib/aip-log/log /var/lib/aip-log/lost; }
# In the newest write-ahead log, in the middle, after a crash.
a_bit_flips() {
    serve_log && for n in 5 6 7 8; do echo "$n" >"f$n" && aip sign "f$n" || return; done
    kill -KILL "$served"; wait "$served"
    flip_a_bit "$(ls /var/lib/aip-log/log/db/*.log | tail -n 1)"
}
