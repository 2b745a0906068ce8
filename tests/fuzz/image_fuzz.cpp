// SPDX-License-Identifier: GPL-2.0-or-later
//
// kernel::Image and its exports on a damaged vmlinux: what kallsyms, the banner and __ksymtab say
// of each other's places must not lead out of the file. The input says how to damage a small one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "kernel/exports.h"
#include "kernel/image.h"
#include "support/damage.h"
#include "support/kallsyms_tables.h"
#include "support/patches.h"

namespace {

using namespace suture;

constexpr std::uint64_t strings_address = 0xffffffff83100000;
constexpr std::uint64_t exports_address = 0xffffffff83200000;

// An export's three distances, each from its own place.
void append_export(Bytes& table, std::uint64_t address, std::uint64_t name) {
  for (std::uint64_t target : {address, name, strings_address}) {
    const std::uint64_t place = exports_address + table.size();
    append_le(table, static_cast<std::uint32_t>(target - place));
  }
}

Bytes good_image() {
  test::KallsymsTables tables;
  for (std::uint64_t i = 0; i < 20; ++i) {
    tables.symbols.push_back({'T', "tcp_" + std::to_string(i), tables.relative_base + 8 * i});
  }
  tables.symbols.push_back({'D', "linux_banner", strings_address + 1});
  const std::string strings(
      "\0Linux version 6.1.0 (someone@debian.org) (gcc-12 (Debian 12.2.0) 12.2.0, GNU ld) #1 SMP\n"
      "\0tcp_1\0tcp_2\0",
      103);
  Bytes exports;
  append_export(exports, tables.relative_base + 8, strings_address + strings.find("tcp_1"));
  append_export(exports, tables.relative_base + 16, strings_address + strings.find("tcp_2"));
  return test::tiny_vmlinux(
      test::kallsyms_rodata(tables),
      {{".data", SHT_PROGBITS, SHF_ALLOC, strings_address, test::bytes_of(strings)},
       {"__ksymtab", SHT_PROGBITS, SHF_ALLOC, exports_address, exports},
       {"__ksymtab_gpl", SHT_PROGBITS, SHF_ALLOC, exports_address + 0x1000, {}},
       {"__kcrctab", SHT_PROGBITS, SHF_ALLOC, exports_address + 0x2000, Bytes(8, 0x77)}});
}

const Bytes& base() {
  static const Bytes file = good_image();
  return file;
}

// A path to a file of these bytes that is nowhere else.
fs::path as_file(const Bytes& bytes) {
  static const int file = memfd_create("image", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, 0) != 0 ||
      pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  static const test::FieldKinds kinds = test::elf_fields(base());
  std::minstd_rand random(seed);
  if (random() % 4 == 0) {
    return LLVMFuzzerMutate(data, size, most);
  }
  return test::add_damage(base(), kinds, data, 0, size, most, random);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto image = kernel::Image::open(as_file(test::patched(base(), ByteView(data, size))));
  if (size == 0 && !image) {
    std::abort();  // an undamaged one must come through, or nothing below is reached
  }
  auto exports = image ? kernel::read_exports(*image) : std::unexpected(image.error());
  if (size == 0 && (!exports || exports->size() != 2)) {
    std::abort();
  }
  std::size_t sum = 0;
  for (const kernel::ImageExport& have : exports ? *exports : std::vector<kernel::ImageExport>{}) {
    for (char c : have.name) {
      sum += static_cast<unsigned char>(c);
    }
    sum += image->at(have.address, 16).value_or(ByteView{}).size();
  }
  volatile std::size_t sink = sum;  // so that the reads stay
  (void)sink;
  return 0;
}
