#!/bin/sh
# Installs Sapwood and what boots with it into a tree: see README.md beside this.
set -eu
usage() {
    echo "usage: install.sh [--ostree] DESTDIR PROGRAMS" >&2
    exit 2
}
ostree=no
if [ "${1-}" = --ostree ]; then
    ostree=yes
    shift
fi
[ $# -eq 2 ] || usage
dest=$1
programs=$2
here=$(cd "$(dirname "$0")" && pwd)

install -D -m 755 "$programs/sapwood" "$dest/usr/bin/sapwood"
[ $ostree = no ] || ln -sf sapwood "$dest/usr/bin/ostree"

boot=/usr/lib/sapwood
install -D -m 755 "$programs/sapwood-boot" "$dest$boot/sapwood-boot"
ln -sf sapwood-boot "$dest$boot/sapwood-prepare-root"
ln -sf sapwood-boot "$dest$boot/sapwood-remount"
mkdir -p "$dest/usr/lib/systemd/system-generators" "$dest/usr/lib/ostree"
ln -sf ../../sapwood/sapwood-boot "$dest/usr/lib/systemd/system-generators/sapwood-system-generator"
# Where a boot entry without an initramfs looks for it.
[ -e "$dest/usr/lib/ostree/ostree-prepare-root" ] ||
    ln -s ../sapwood/sapwood-boot "$dest/usr/lib/ostree/ostree-prepare-root"

for unit in "$here"/systemd/*; do
    install -D -m 644 "$unit" "$dest/usr/lib/systemd/system/${unit##*/}"
done
for wanted in local-fs/sapwood-remount.service paths/sapwood-finalize-staged.path \
    multi-user/sapwood-boot-complete.service multi-user/sapwood-bless-boot.service; do
    wants=$dest/usr/lib/systemd/system/${wanted%%/*}.target.wants
    mkdir -p "$wants"
    ln -sf "../${wanted##*/}" "$wants/${wanted##*/}"
done
install -D -m 644 "$here/tmpfiles/sapwood.conf" "$dest/usr/lib/tmpfiles.d/sapwood.conf"
install -D -m 755 "$here/dracut/98sapwood/module-setup.sh" "$dest/usr/lib/dracut/modules.d/98sapwood/module-setup.sh"
install -D -m 755 "$here/initramfs-tools/hooks/sapwood" "$dest/usr/share/initramfs-tools/hooks/sapwood"
install -D -m 755 "$here/initramfs-tools/scripts/local-bottom/sapwood" \
    "$dest/usr/share/initramfs-tools/scripts/local-bottom/sapwood"
