// SPDX-License-Identifier: GPL-2.0-or-later
//
// elf::ObjectFile on any bytes: what it accepts must be safe to walk without further checks, as its
// header promises. Input that starts like an ELF file is taken as one; any other says how to damage
// a small relocatable object.
#include <cstdlib>

#include "elf/object.h"
#include "support/damage.h"
#include "support/patches.h"
#include "support/tiny_elf.h"

namespace {

using namespace suture;

Bytes small_object() {
  Bytes relocations;
  for (std::uint64_t i = 0; i < 4; ++i) {
    test::append_struct(relocations, Elf64_Rela{i * 8, ELF64_R_INFO(i % 3, R_X86_64_PC32), -4});
  }
  Bytes text(64, 0x90);
  const std::uint32_t symbols = 5;  // the number that tiny_elf gives .symtab
  return test::tiny_elf(
      ET_REL,
      {{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, text},
       {".rela.text", SHT_RELA, 0, 0, relocations, symbols, 1, sizeof(Elf64_Rela)},
       {".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 0, test::build_id_note(Bytes(20, 0xab))},
       {".wide", SHT_SYMTAB_SHNDX, 0, 0, Bytes(3 * 4), symbols, 0, 4}},
      {{"f", 1, 0}, {"g", SHN_XINDEX, 16}});
}

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void walk(const elf::ObjectFile& object) {
  std::size_t sum = 0;
  for (const elf::Section& section : object.sections()) {
    require(section.data.empty() || section.data.size() == section.size);
    for (std::uint8_t byte : section.data) {
      sum += byte;
    }
    for (const elf::Relocation& relocation : section.relocations) {
      require(relocation.offset < section.size);
      require(relocation.symbol < object.symbols().size());
    }
    if (section.type == SHT_NOTE) {
      sum += elf::build_id(section.data).value_or("").size();
    }
  }
  for (const elf::Symbol& symbol : object.symbols()) {
    require(!symbol.defined() || symbol.section < object.sections().size());
    for (char c : symbol.name) {
      sum += static_cast<unsigned char>(c);
    }
  }
  volatile std::size_t sink = sum;  // so that the reads stay
  (void)sink;
}

bool is_whole(ByteView input) { return as_text(input).starts_with(ELFMAG); }

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  static const Bytes base = small_object();
  static const test::FieldKinds kinds = test::elf_fields(base);
  std::minstd_rand random(seed);
  if (is_whole(ByteView(data, size)) || random() % 2 == 0) {
    return LLVMFuzzerMutate(data, size, most);
  }
  return test::add_damage(base, kinds, data, 0, size, most, random);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Bytes base = small_object();
  const ByteView input(data, size);
  Bytes file = is_whole(input) ? Bytes(input.begin(), input.end()) : test::patched(base, input);
  if (auto object = elf::ObjectFile::parse(std::move(file), "fuzz")) {
    walk(*object);
  }
  return 0;
}
