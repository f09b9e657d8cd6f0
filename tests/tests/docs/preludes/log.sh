TOKEN=secret
mkdir -p /var/lib/aip-log
# Two witnesses of other people, who were given the log's key.
two_witnesses() {
    vkey=$(sed -n 's/^log \([^ ]*\).*/\1/p' /var/lib/aip-log/log/policy)
    witness init --dir w1 --name w1.example.org/w --url https://w1.example.org --log "$vkey" >w1.policy
    witness init --dir w2 --name w2.example.net/w --url https://w2.example.net --log "$vkey" >w2.policy
    w1=https://w1.example.org w2=https://w2.example.net
    witness serve --dir w1 --listen "${w1#http://}" 2>w1.txt &
    witness serve --dir w2 --listen "${w2#http://}" 2>w2.txt &
    page_wait "$w1 $w2"
}
systemctl() { pkill -HUP -f 'log-server serve --dir /var/lib/aip-log/log'; }
