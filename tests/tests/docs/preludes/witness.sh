a_log && mkdir -p /var/lib/aip-witness
LOG_VKEY=$(sed -n 's/^log \([^ ]*\).*/\1/p' /var/lib/aip-log/log/policy)

# A log with that witness in its policy, which grows.
a_log_asks() {
    log-server policy --dir /var/lib/aip-log/log --witness w1.policy --quorum 1 && stop_log && serve_log || return
    export AIP_LOG_URL=https://log.example.com AIP_POLICY=/var/lib/aip-log/log/policy
    # The tree of before is cosigned a moment after the start.
    for try in $(seq 100); do aip init --register && break; sleep 0.1; done
    for n in 1 2 3; do echo "$n" >"f$n" && aip sign "f$n" || return; done
}
# The witness is killed, and its newest write-ahead log loses a bit.
a_bit_flips() {
    pkill -KILL -f "witness serve --dir /var/lib/aip-witness"
    flip_a_bit "$(ls /var/lib/aip-witness/witness/db/*.log | tail -n 1)"
}
