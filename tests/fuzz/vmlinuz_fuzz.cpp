// SPDX-License-Identifier: GPL-2.0-or-later
//
// kernel::extract_vmlinux and kernel::decompress. The first byte of the input picks one of seven
// good streams, alone or in a boot image, that the rest says how to damage; or else the rest is
// taken as a whole file or stream.
#include "kernel/decompress.h"
#include "kernel/vmlinuz.h"
#include "support/packers.h"
#include "support/patches.h"
#include "support/tiny_elf.h"

namespace {

using namespace suture;

std::vector<Bytes> good_streams() {
  Bytes text(600'000);
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<std::uint8_t>(i < 2000 ? i * i >> 3 : 0x90);
  }
  const Bytes elf = test::tiny_elf(ET_EXEC, {{".text", SHT_PROGBITS, SHF_ALLOC, 0x1000, text}});
  std::vector<Bytes> streams;
  for (const test::Packer& packer : test::packers()) {
    streams.push_back(packer.pack(elf));
  }
  return streams;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Bytes> streams = good_streams();
  if (size == 0) {
    return 0;
  }
  const ByteView rest = ByteView(data, size).subspan(1);
  const std::size_t pick = data[0] % (2 * streams.size() + 1);
  if (pick == 2 * streams.size()) {
    (void)kernel::extract_vmlinux(rest, "fuzz");
    (void)kernel::decompress(rest, "fuzz");
  } else if (pick < streams.size()) {
    (void)kernel::decompress(test::patched(streams[pick], rest), "fuzz");
  } else {
    const Bytes image = test::boot_image(streams[pick - streams.size()]);
    (void)kernel::extract_vmlinux(test::patched(image, rest), "fuzz");
  }
  return 0;
}
