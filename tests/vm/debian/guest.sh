# SPDX-License-Identifier: GPL-2.0-or-later
#
# Words for tests in a Debian guest: a stock kernel under QEMU, systemd, and what `cmake --install`
# puts onto a machine. The guest's root forgets at each boot; its /var/lib/suture is store.img.
[ "$(id -u)" -eq 0 ] || { echo "only root can make the guest's file system"; exit 77; }
debian=$(dirname "${BASH_SOURCE[0]}")

# needs_of MODULE...: the modules' files, each after those that it depends on.
needs_of() {
  local name file
  for name in "$@"; do
    file=$(find "$entry/modules" -name "$name.ko" -o -name "${name//_/-}.ko")
    # shellcheck disable=SC2046
    needs_of $(modinfo -F depends "$file" | tr , ' ')
    echo "$file"
  done
}

guest_modules="virtio_pci virtio_blk crc32c_generic ext4"
firmware=()
# with_firmware: the guest's firmware is UEFI, and keeps its variables. It knows secure boot, which is
# in setup mode: no key owns the machine yet.
with_firmware() {
  cp /usr/share/OVMF/OVMF_VARS_4M.fd variables.fd
  firmware=(-machine q35,smm=on -global driver=cfi.pflash01,property=secure,value=on
    -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd
    -drive if=pflash,format=raw,file=variables.fd)
  guest_modules+=" efivarfs"
}

# debian_guest: makes what boots needs. Files of the current directory named here come to /test.
debian_guest() {
  local name
  root=$("$debian/make-root" "$(dirname "$(dirname "$entry")")/tests")
  mkdir -p guest/{bin,modules,proc,dev,root,stage/test,stage/etc/systemd/system/multi-user.target.wants}
  cp "$(command -v busybox)" guest/bin/busybox
  cp "$debian/init" guest/init
  # shellcheck disable=SC2086
  needs_of $guest_modules | awk '!seen[$0]++' >needed
  while read -r name; do
    cp "$name" guest/modules
    basename "$name" >>guest/modules/order
  done <needed
  DESTDIR=$work/guest/stage cmake --install "$(dirname "$suture")" >install.txt
  cp "$debian/probe.service" guest/stage/etc/systemd/system
  for name in /usr/local/lib/systemd/system/suture.service /etc/systemd/system/probe.service; do
    ln -s "$name" guest/stage/etc/systemd/system/multi-user.target.wants
  done
  for name in "$@"; do cp "$name" guest/stage/test; done
  # What the program is linked with and the root does not have.
  mkdir -p guest/stage/usr/lib/x86_64-linux-gnu
  ldd "$suture" | awk '$2 == "=>" { print $3 }' | while read -r name; do
    grep -qx "$(basename "$name")" "$root.libraries" ||
      cp -L "$name" guest/stage/usr/lib/x86_64-linux-gnu
  done
  truncate -s 8M store.img
  mke2fs -q -t ext4 -m 0 store.img
}

# boots KERNEL_ARGUMENT... < SCRIPT: one boot of the guest, which runs the script (bash -eux) once
# the network is up, then shuts down in order. What it prints is in said.txt, the console in
# console.txt. Fails where the script does, or does not come to its end, and where the kernel's log has
# anything suspicious.
boots() {
  { echo 'exec >/dev/ttyS1 2>&1; trap "systemctl --no-block start poweroff.target" EXIT; set -eux; cd /test'
    cat "$debian/words"
    cat
    echo 'set +x; echo "the script is done"; dmesg'; } >guest/stage/test/run
  (cd guest && find . | busybox cpio -o -H newc 2>/dev/null) >guest.cpio
  timeout --foreground 240 qemu-system-x86_64 -accel tcg,thread=single -cpu max -smp 2 -m 1024 \
    -nodefaults -no-user-config -display none -no-reboot "${firmware[@]}" \
    -serial file:console.txt -serial file:said.txt \
    -drive "file=$root,format=raw,if=none,id=root,snapshot=on" -device virtio-blk-pci,drive=root \
    -drive "file=store.img,format=raw,if=none,id=store" -device virtio-blk-pci,drive=store \
    -kernel "$entry/vmlinuz" -initrd guest.cpio \
    -append "console=ttyS0 panic=-1 no_timer_check systemd.show_status=0 quiet $*" || true
  grep -aq '^the script is done' said.txt &&
    sed -n '/^the script is done/,$p' said.txt | "$(dirname "$guest_script")/log_is_clean" &&
    "$(dirname "$guest_script")/log_is_clean" <console.txt
}
# tells WHAT: shows what the last boot left, for a test that fails.
tells() { tail -n 40 console.txt; cat said.txt; echo "wrong: $*"; exit 1; }
