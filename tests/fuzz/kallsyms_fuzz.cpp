// SPDX-License-Identifier: GPL-2.0-or-later
//
// kernel::read_kallsyms on damaged tables of each layout. The first byte picks the layout, the rest
// says how to damage .rodata; or else the rest is .rodata.
#include <cstdlib>

#include "kernel/image.h"
#include "support/kallsyms_tables.h"
#include "support/patches.h"

namespace {

using namespace suture;

std::vector<Bytes> good_tables() {
  test::KallsymsTables tables;
  for (std::uint64_t i = 0; i < 300; ++i) {
    tables.symbols.push_back({'T', "tcp_" + std::to_string(i), tables.relative_base + 8 * i});
  }
  tables.symbols.push_back({'T', std::string(200, 'n'), tables.relative_base + 4000});
  std::vector<Bytes> all;
  for (int layout = 0; layout < 8; ++layout) {
    tables.offsets_last = (layout & 1) != 0;
    tables.seqs = (layout & 2) != 0;
    tables.absolute_percpu = (layout & 4) != 0;
    all.push_back(test::kallsyms_rodata(tables));
  }
  return all;
}

void walk(const kernel::SymbolTable& table) {
  for (std::uint32_t i = 0; i < table.all().size(); ++i) {
    const kernel::RunSymbol& symbol = table.all()[i];
    const std::uint32_t sympos = table.sympos(i);
    const auto same = table.find(symbol.name);
    if (same.empty() || same[sympos == 0 ? 0 : sympos - 1] != i ||
        table.at(symbol.address).empty()) {
      std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Bytes> good = good_tables();
  if (size == 0) {
    return 0;
  }
  const ByteView rest = ByteView(data, size).subspan(1);
  const Bytes rodata = data[0] < 0xf0 ? test::patched(good[data[0] % good.size()], rest)
                                      : Bytes(rest.begin(), rest.end());
  auto elf = elf::ObjectFile::parse(test::tiny_vmlinux(rodata), "fuzz");
  if (auto table = elf ? kernel::read_kallsyms(*elf) : std::unexpected(elf.error())) {
    walk(*table);
  } else if (rest.empty() && data[0] < 0xf0) {
    std::abort();  // undamaged ones must come all the way through, or nothing above is reached
  }
  return 0;
}
