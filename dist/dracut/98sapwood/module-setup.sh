#!/bin/bash
# A dracut module: the root of the deployed system (see dracut.modules(7)).

check() {
    [[ -x $dracutsysrootdir/usr/lib/sapwood/sapwood-prepare-root ]] || return 1
    # Only where it is asked for, or the tree is one to deploy.
    return 255
}

depends() {
    echo systemd
}

installkernel() {
    instmods overlay
}

install() {
    inst_multiple /usr/lib/sapwood/sapwood-boot
    inst_simple /usr/lib/sapwood/sapwood-prepare-root
    for config in /usr/lib/ostree/prepare-root.conf /etc/ostree/prepare-root.conf; do
        if [[ -r $dracutsysrootdir$config ]]; then
            inst_simple "$config"
        fi
    done
    inst_simple "${systemdsystemunitdir:?}/sapwood-prepare-root.service"
    mkdir -p "${initdir:?}$systemdsystemunitdir/initrd-root-fs.target.wants"
    ln_r "$systemdsystemunitdir/sapwood-prepare-root.service" \
        "$systemdsystemunitdir/initrd-root-fs.target.wants/sapwood-prepare-root.service"
}
