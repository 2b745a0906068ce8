// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is read from modules on damaged ones: their metadata, Suture's own or what the data of other
// builders tells, and a shipped module's symbols. The first byte says which of the two objects of
// module.c the rest damages.
#include <algorithm>
#include <cstdlib>

#include "kernel/module_image.h"
#include "module/metadata.h"
#include "support/damage.h"
#include "support/patches.h"

namespace {

using namespace suture;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// As compiled, but for the section number of the symbol that livepatch binds: no compiler writes
// that one.
Bytes compiled(const char* name) {
  auto bytes = read_bytes(fs::path(SUTURE_FUZZ_OBJECTS) / name);
  require(bytes.has_value());
  auto object = elf::ObjectFile::parse(*bytes, name);
  require(object && object->find_section(".symtab"));
  const auto& symbols = object->symbols();
  const auto bound = std::ranges::find_if(
      symbols, [](const elf::Symbol& symbol) { return symbol.name.starts_with(".klp.sym."); });
  require(bound != symbols.end());
  const std::uint64_t headers = *read_le<std::uint64_t>(*bytes, offsetof(Elf64_Ehdr, e_shoff));
  const std::uint64_t header = headers + *object->find_section(".symtab") * sizeof(Elf64_Shdr);
  const std::uint64_t table =
      *read_le<std::uint64_t>(*bytes, header + offsetof(Elf64_Shdr, sh_offset));
  const auto number = static_cast<std::uint64_t>(bound - symbols.begin());
  write_le(*bytes, table + number * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_shndx),
           elf::shn_livepatch);
  return std::move(*bytes);
}

const test::Damageable& base_of(std::uint8_t pick) {
  static const test::Damageable ours(compiled("ours.o"));
  static const test::Damageable foreign(compiled("foreign.o"));
  return (pick & 1) != 0 ? ours : foreign;
}

// What is read twice is the same: the strings that stand for the metadata say all of it.
void read_back(const module::Metadata& metadata) {
  std::size_t functions = 0;
  for (const module::PatchedObject& object : metadata.objects) {
    functions += object.functions.size();
  }
  require(module::to_modinfo(metadata).size() >= functions);
}

void walk(const kernel::ModuleImage& module) {
  std::size_t sum = module.depends().size() + module.vermagic().size();
  for (std::uint32_t symbol : module.core_symbols()) {
    require(module.elf().symbols().at(symbol).defined());
    sum += module.sympos(symbol);
    sum += module.same_sympos_while_loading(symbol) ? 1 : 0;
  }
  volatile std::size_t sink = sum;  // so that the reads stay
  (void)sink;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  return test::add_damage_to_picked(base_of, data, size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const Bytes file = test::patched(base_of(data[0]).file, ByteView(data, size).subspan(1));
  auto object = elf::ObjectFile::parse(file, "fuzz");
  if (!object) {
    return 0;
  }
  if (auto metadata = module::read_metadata(*object, "fuzz")) {
    read_back(*metadata);
  }
  if (auto module = kernel::ModuleImage::of(std::move(*object), "fuzz")) {
    walk(*module);
  }
  return 0;
}
