a_log
FINGERPRINT=sha256:$(sha256sum </var/lib/aip-log/log/policy | cut -d' ' -f1)
a_thief_signs() {
    echo "not yours" >theirs && INDEX=$(aip sign theirs | sed -n "s/.*  index \([0-9]*\)  .*/\1/p")
    test -n "$INDEX"
}
