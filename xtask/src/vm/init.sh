#!/bin/sh
# The first process of the small operating system: enough of one to upgrade itself.
export PATH=/usr/bin HOME=/root
mount -t tmpfs tmpfs /tmp
ifconfig lo up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
[ ! -b /dev/vda3 ] || mount -t vfat /dev/vda3 /boot || echo "SAPWOOD-VM FAILED to mount /boot" >/dev/ttyS0
/usr/libexec/sapwood-vm-step
# As a shutdown does.
sapwood admin finalize-staged >/dev/ttyS0 2>&1
umount /boot
sync
poweroff -f
