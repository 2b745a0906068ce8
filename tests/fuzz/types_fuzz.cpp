// SPDX-License-Identifier: GPL-2.0-or-later
//
// kernel::TypeTable on damaged .BTF: a table that is accepted can be described to the end. The
// first byte says whether the rest damages the table of types.c, or is one.
#include <linux/btf.h>

#include <cstdlib>

#include "elf/object.h"
#include "kernel/types.h"
#include "support/damage.h"
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

const Bytes& good_bytes() {
  static const Bytes bytes = good_table();
  return bytes;
}

// The header, the types and the names.
test::FieldKinds fields() {
  btf_header header;
  std::memcpy(&header, good_bytes().data(), sizeof(header));
  const std::uint64_t types = header.hdr_len + header.type_off;
  const std::uint64_t names = header.hdr_len + header.str_off;
  return {test::fields_in(4, header.hdr_len, {4}),
          test::fields_in(types, types + header.type_len, {4}),
          test::fields_in(types, types + header.type_len, {2}),
          test::fields_in(names, names + header.str_len, {1})};
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

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  static const test::FieldKinds kinds = fields();
  std::minstd_rand random(seed);
  if (size == 0 || data[0] >= 0xf0 || random() % 4 == 0) {
    return LLVMFuzzerMutate(data, size, most);
  }
  return test::add_damage(good_bytes(), kinds, data, 1, size, most, random);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto good = kernel::TypeTable::parse(good_bytes(), "good");
  if (!good || good->named().empty()) {
    std::abort();
  }
  if (size == 0) {
    return 0;
  }
  const ByteView rest = ByteView(data, size).subspan(1);
  const Bytes raw =
      data[0] < 0xf0 ? test::patched(good_bytes(), rest) : Bytes(rest.begin(), rest.end());
  if (auto table = kernel::TypeTable::parse(raw, "fuzz")) {
    walk(*table, *good);
  }
  return 0;
}
