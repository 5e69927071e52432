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
step=$(cat /var/sapwood-vm-step)

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

case $step in
upgrade)
    sound 1
    echo mine >/etc/sapwood-vm/changed
    echo kept >/var/data
    check "an upgrade is pulled and staged" sapwood admin upgrade --stage
    check "status tells what is staged" staged
    # The merge is at shutdown: what changes until then counts.
    echo late >/etc/sapwood-vm/late
    ;;
merged)
    sound 2
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
*) say "FAILED unknown step '$step'" ;;
esac
say "end of $step"
