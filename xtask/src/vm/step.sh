#!/bin/sh
# Does the step that was written on the disk for it, and says on the console what came of it.
console=/dev/ttyS0
say() { echo "SAPWOOD-VM $*" >"$console"; }
# check NAME COMMAND…: whether the command succeeds.
check() {
    name=$1
    shift
    if "$@" >/tmp/said 2>&1; then say "ok $name"; else
        say "FAILED $name: $*: $(tr '\n' '|' </tmp/said)"
    fi
}
not() { ! "$@"; }
holds() { [ "$(cat "$1")" = "$2" ]; }
staged() { sapwood admin status | grep -q staged; }
booted() { sapwood admin status | grep -q '^\* '; }
entry() { [ -s "/boot/loader/entries/$1" ]; }
gave_up() { sapwood admin status | grep -q "Failed: did not come up in 2 boots"; }
says_so() { sapwood admin boot-complete 2>&1 | grep -q "$1"; }
# Where none was written, the power was cut.
step=$(cat /var/sapwood-vm-step 2>/dev/null || echo cut)

sound() {
    check "version $1 runs" holds /usr/lib/sapwood-vm-version "$1"
    check "the running deployment is known" booted
    check "/usr is read-only" not touch /usr/probe
    check "the disk is at /sysroot" test -d /sysroot/ostree/repo/objects
    if grep -q '^readonly=true' /sysroot/ostree/repo/config; then
        check "the disk is read-only" not touch /sysroot/probe
    fi
    check "/etc is writable" touch /etc/probe
    check "/var is writable" touch /var/probe
    check "the repository verifies" sapwood fsck --quiet --repo=/sysroot/ostree/repo
}

# counted NAME: systemd-boot has counted this boot in the name of the entry; the boot being good, that ends.
counted() {
    if [ -d /sys/firmware/efi ]; then
        check "/boot is FAT" test "$(stat -f -c %T /boot)" = msdos
        check "this boot was counted" entry "$1+1-1.conf"
        check "a boot that succeeded is known" sapwood admin boot-complete --bless
        check "it is not counted any more" entry "$1.conf"
        check "its old name is gone" not entry "$1+1-1.conf"
    fi
}

case $step in
upgrade)
    sound 1
    counted ostree-1
    echo mine >/etc/sapwood-vm/changed
    echo kept >/var/data
    check "an upgrade is pulled and staged" sapwood admin upgrade --stage
    check "status tells what is staged" staged
    # The merge is at shutdown: what changes until then counts.
    echo late >/etc/sapwood-vm/late
    ;;
merged)
    sound 2
    counted ostree-2
    check "what was changed in /etc is kept" holds /etc/sapwood-vm/changed mine
    check "so is what came after staging" holds /etc/sapwood-vm/late late
    check "nothing is staged any more" not staged
    check "what was not is the new default" holds /etc/sapwood-vm/default "default 2"
    check "/var is as it was left" holds /var/data kept
    check "the version before is made the default" sapwood admin set-default 1
    ;;
back)
    sound 1
    check "its /etc is as it was left" holds /etc/sapwood-vm/default "default 1"
    check "/var is as it was left" holds /var/data kept
    ;;
third)
    sound 1
    check "a third version is pulled and staged" sapwood admin upgrade --stage
    ;;
hangs)
    check "version 3 runs" holds /usr/lib/sapwood-vm-version 3
    ;;
given-up)
    sound 1
    check "the last of its tries is counted" entry ostree-4+0-2.conf
    check "status tells what failed" gave_up
    check "so does the end of the boot" says_so "did not come up in 2 boots"
    ;;
cut)
    sound "$(cat /usr/lib/sapwood-vm-version)"
    say "version $(cat /usr/lib/sapwood-vm-version)"
    ;;
*) say "FAILED unknown step '$step'" ;;
esac
say "end of $step"
# The third version never gets further.
while [ "$step" = hangs ]; do sleep 60; done
