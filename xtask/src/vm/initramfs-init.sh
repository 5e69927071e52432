#!/bin/busybox sh
# The first process of the small profile's initramfs: finds the disk, mounts it, has the deployment made its root.
/bin/busybox mkdir -p /proc /sys /dev /run /sysroot /sbin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755 tmpfs /run

argument() {
    value=
    for word in $(cat /proc/cmdline); do
        case $word in "$1"=*) value=${word#*=} ;; esac
    done
    echo "$value"
}
give_up() {
    echo "SAPWOOD-VM FAILED initramfs: $1"
    poweroff -f
}

for module in virtio_pci virtio_blk virtio_net overlay ext4 xfs btrfs vfat nls_cp437 nls_ascii; do
    modprobe "$module" 2>/dev/null
done
disk=$(argument root)
tries=0
while [ ! -b "$disk" ] && [ $tries -lt 50 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
mount -t "$(argument rootfstype)" -o rw "$disk" /sysroot || give_up "cannot mount $disk"
/bin/sapwood-prepare-root /sysroot || give_up "no root"
for place in /run /dev /proc /sys; do
    mount --move "$place" "/sysroot$place"
done
exec switch_root /sysroot /sbin/init
