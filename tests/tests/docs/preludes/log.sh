TOKEN=secret
mkdir -p /var/lib/aip-log
# Three witnesses of other people, who were given the log's key.
three_witnesses() {
    vkey=$(sed -n 's/^log \([^ ]*\).*/\1/p' /var/lib/aip-log/log/policy)
    witness init --dir w1 --name w1.example.org/w --url https://w1.example.org --log "$vkey" >w1.policy
    witness init --dir w2 --name w2.example.net/w --url https://w2.example.net --log "$vkey" >w2.policy
    witness init --dir w3 --name w3.example.com/w --url https://w3.example.com --log "$vkey" >w3.policy
    w1=https://w1.example.org w2=https://w2.example.net w3=https://w3.example.com
    witness serve --dir w1 --listen "${w1#http://}" 2>w1.txt &
    witness serve --dir w2 --listen "${w2#http://}" 2>w2.txt &
    witness serve --dir w3 --listen "${w3#http://}" 2>w3.txt &
    page_wait "$w1 $w2 $w3"
}
systemctl() { pkill -HUP -f 'log-server serve --dir /var/lib/aip-log/log'; }
