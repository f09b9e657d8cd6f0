a_log
FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
a_thief_signs() {
    echo "not yours" >theirs && INDEX=$(aip sign theirs | sed -n "s/.*  index \([0-9]*\)  .*/\1/p")
    test -n "$INDEX"
}
the_recovery_key_is_on_a_stick() { mkdir -p /media/usb && mv ~/aip-recovery-*.json /media/usb/ && DID=$(aip whoami --offline | sed -n 's/^DID: //p'); }
