// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "kernel/image.h"
#include "support/kallsyms_tables.h"

namespace suture::kernel {
namespace {

using test::kallsyms_rodata;
using test::KallsymsTables;

constexpr std::uint64_t text_start = 0xffffffff81000000;

KallsymsTables some_tables() {
  KallsymsTables tables;
  tables.symbols = {
      {'A', "__per_cpu_start", 0}, {'A', "cpu_info", 0x1f80}, {'T', "_text", text_start}};
  for (int i = 0; i < 700; ++i) {
    tables.symbols.push_back({i % 3 == 0 ? 't' : 'T', "tcp_function_" + std::to_string(i % 500),
                              text_start + 16 * (static_cast<std::uint64_t>(i) + 1)});
  }
  tables.symbols.push_back({'T', "sys_read", text_start + 0x8000});
  tables.symbols.push_back({'d', std::string(300, 'n'), text_start + 0x9000});
  return tables;
}

Result<SymbolTable> decode(const Bytes& rodata) {
  auto elf = elf::ObjectFile::parse(test::tiny_vmlinux(rodata), "vmlinux");
  EXPECT_TRUE(elf);
  return read_kallsyms(*elf);
}

void expect_all(const KallsymsTables& tables) {
  auto decoded = decode(kallsyms_rodata(tables));
  ASSERT_TRUE(decoded) << decoded.error().reason;
  ASSERT_EQ(decoded->all().size(), tables.symbols.size());
  for (std::size_t i = 0; i < tables.symbols.size(); ++i) {
    const RunSymbol& symbol = decoded->all()[i];
    EXPECT_EQ(symbol.name, tables.symbols[i].name);
    EXPECT_EQ(symbol.address, tables.symbols[i].address) << symbol.name;
    EXPECT_EQ(symbol.type, tables.symbols[i].type) << symbol.name;
  }
}

TEST(Kallsyms, OffsetsFirstLayout) { expect_all(some_tables()); }

TEST(Kallsyms, OffsetsFirstLayoutWithSeqs) {
  KallsymsTables tables = some_tables();
  tables.seqs = true;
  expect_all(tables);
}

TEST(Kallsyms, OffsetsLastLayout) {
  KallsymsTables tables = some_tables();
  tables.offsets_last = true;
  expect_all(tables);
}

KallsymsTables tables_of_7() {
  KallsymsTables tables = some_tables();
  tables.symbols.erase(tables.symbols.begin(), tables.symbols.begin() + 2);  // no absolute ones
  tables.from_places = true;
  return tables;
}

TEST(Kallsyms, OffsetsThatCountFromTheirPlaces) { expect_all(tables_of_7()); }

TEST(Kallsyms, OffsetsFromTheirPlacesOfEverySizeAroundAMarker) {
  for (std::size_t size : {1, 2, 3, 255, 256, 257, 258, 511, 512, 513}) {
    KallsymsTables tables = tables_of_7();
    tables.symbols.resize(size);
    expect_all(tables);
  }
}

TEST(Kallsyms, OffsetsFromTheirPlacesThatLeadOutOfTheImageAreBadImage) {
  KallsymsTables tables = tables_of_7();
  for (test::KallsymsSymbol& symbol : tables.symbols) {
    symbol.address -= 0x1000000;
  }
  auto decoded = decode(kallsyms_rodata(tables));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::bad_image);
}

TEST(Kallsyms, EverySizeAroundAMarkerAndAnAlignmentBoundary) {
  for (std::size_t size : {1, 2, 3, 255, 256, 257, 258, 511, 512, 513}) {
    KallsymsTables tables = some_tables();
    tables.symbols.erase(tables.symbols.begin(), tables.symbols.begin() + 2);
    tables.symbols.resize(size);
    for (bool last : {false, true}) {
      for (bool seqs : {false, true}) {
        tables.offsets_last = last;
        tables.seqs = seqs;
        expect_all(tables);
      }
    }
  }
}

TEST(Kallsyms, BaseRelativeWithoutAbsolutePerCpu) {
  KallsymsTables tables = some_tables();
  tables.symbols.erase(tables.symbols.begin(), tables.symbols.begin() + 2);
  tables.absolute_percpu = false;
  for (bool last : {false, true}) {
    tables.offsets_last = last;
    expect_all(tables);
  }
}

TEST(Kallsyms, CutOffAnywhereIsBadImage) {
  for (bool last : {false, true}) {
    KallsymsTables tables = some_tables();
    tables.offsets_last = last;
    tables.seqs = last;
    const Bytes rodata = kallsyms_rodata(tables);
    // What follows the last table that is read (seqs are not) may be missing.
    const std::size_t needed = rodata.size() - 32 - (last ? tables.symbols.size() * 3 : 0);
    for (std::size_t size = 0; size < needed; size += 61) {
      auto decoded = decode(Bytes(rodata.begin(), rodata.begin() + static_cast<long>(size)));
      ASSERT_FALSE(decoded) << size;
      EXPECT_EQ(decoded.error().code, Code::bad_image);
    }
  }
}

TEST(Kallsyms, FallingAddressesAreBadImage) {
  KallsymsTables tables = some_tables();
  std::swap(tables.symbols[10].address, tables.symbols[20].address);
  auto decoded = decode(kallsyms_rodata(tables));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::bad_image);
}

TEST(Kallsyms, BaseOutsideTheImageIsBadImage) {
  KallsymsTables tables = some_tables();
  tables.relative_base = text_start - 0x1000;
  EXPECT_FALSE(decode(kallsyms_rodata(tables)));
}

TEST(Kallsyms, NameLongerThanTheKernelAllowsIsBadImage) {
  KallsymsTables tables = some_tables();
  tables.symbols[5].name = std::string(512, 'n');
  EXPECT_FALSE(decode(kallsyms_rodata(tables)));
}

TEST(Kallsyms, ImageWithoutRodataIsBadImage) {
  auto elf = elf::ObjectFile::parse(test::tiny_elf(ET_EXEC, {}), "vmlinux");
  ASSERT_TRUE(elf);
  auto decoded = read_kallsyms(*elf);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::bad_image);
}

}  // namespace
}  // namespace suture::kernel
