// SPDX-License-Identifier: GPL-2.0-or-later
//
// kernel::TypeTable on damaged .BTF: a table that is accepted can be described to the end. The
// first byte says whether the rest damages the table of types.c, or is one.
#include <cstdlib>

#include "elf/object.h"
#include "kernel/types.h"
#include "support/patches.h"

namespace {

using namespace suture;

Bytes good_table() {
  auto object = elf::ObjectFile::open(fs::path(SUTURE_FUZZ_OBJECTS) / "types.o");
  const elf::Section* section = object ? object->section(".BTF") : nullptr;
  if (section == nullptr) {
    std::abort();
  }
  return Bytes(section->data.begin(), section->data.end());
}

void walk(const kernel::TypeTable& table, const kernel::TypeTable& good) {
  std::size_t sum = 0;
  for (std::uint32_t id : table.named()) {
    sum += table.layout(id).members.size();
    for (std::uint32_t other : good.namesakes(table, id)) {
      sum += good.same_places(other, table, id) ? 1 : 0;
    }
  }
  for (std::uint32_t id : table.unnamed_enums()) {
    sum += table.layout(id).members.size();
  }
  volatile std::size_t sink = sum;  // so that the reads stay
  (void)sink;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Bytes good_bytes = good_table();
  static const auto good = kernel::TypeTable::parse(good_bytes, "good");
  if (!good || good->named().empty()) {
    std::abort();
  }
  if (size == 0) {
    return 0;
  }
  const ByteView rest = ByteView(data, size).subspan(1);
  const Bytes raw =
      data[0] < 0xf0 ? test::patched(good_bytes, rest) : Bytes(rest.begin(), rest.end());
  if (auto table = kernel::TypeTable::parse(raw, "fuzz")) {
    walk(*table, *good);
  }
  return 0;
}
