// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/builtin_modules.h"
#include "kernel/exports.h"
#include "support/kallsyms_tables.h"

namespace suture::kernel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SymbolTable table_of(std::vector<std::pair<std::string_view, std::uint64_t>> symbols) {
  std::vector<RunSymbol> all;
  for (auto [name, address] : symbols) {
    all.push_back({.name = name, .address = address, .type = 't'});
  }
  return SymbolTable(nullptr, std::move(all));
}

TEST(SymbolTable, SymposIsZeroForAUniqueName) {
  const SymbolTable table = table_of({{"one", 1}, {"two", 2}});
  EXPECT_EQ(table.sympos(0), 0U);
  EXPECT_EQ(table.sympos(1), 0U);
}

TEST(SymbolTable, SymposCountsNamesakesInTheOrderGiven) {
  const SymbolTable table = table_of({{"f", 30}, {"g", 20}, {"f", 10}, {"f", 40}});
  EXPECT_THAT(table.find("f"), ElementsAre(0, 2, 3));
  EXPECT_EQ(table.sympos(0), 1U);
  EXPECT_EQ(table.sympos(2), 2U);
  EXPECT_EQ(table.sympos(3), 3U);
}

TEST(SymbolTable, UniqueIsNullForANameThatIsUnknownOrNotUnique) {
  const SymbolTable table = table_of({{"f", 1}, {"g", 2}, {"f", 3}});
  EXPECT_EQ(table.unique("f"), nullptr);
  EXPECT_EQ(table.unique("h"), nullptr);
  ASSERT_NE(table.unique("g"), nullptr);
  EXPECT_EQ(table.unique("g")->address, 2U);
}

TEST(SymbolTable, FindsByAddressHoweverSymbolsAreOrdered) {
  const SymbolTable table = table_of({{"a", 30}, {"b", 10}, {"c", 30}, {"d", 20}});
  EXPECT_THAT(table.at(30), ElementsAre(0, 2));
  EXPECT_THAT(table.at(15), IsEmpty());
  EXPECT_EQ(table.next_address(10), 20U);
  EXPECT_EQ(table.next_address(29), 30U);
  EXPECT_EQ(table.next_address(30), std::nullopt);
}

TEST(SymbolTable, EmptyTableFindsNothing) {
  EXPECT_THAT(SymbolTable().find("f"), IsEmpty());
  EXPECT_THAT(table_of({}).find("f"), IsEmpty());
  EXPECT_THAT(SymbolTable().at(0), IsEmpty());
}

TEST(SymbolTable, EveryOfManyNamesIsFound) {
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) {
    names.push_back("symbol_" + std::to_string(i / 2));
  }
  std::vector<std::pair<std::string_view, std::uint64_t>> symbols;
  for (std::size_t i = 0; i < names.size(); ++i) {
    symbols.emplace_back(names[i], i);
  }
  const SymbolTable table = table_of(symbols);
  for (std::uint32_t i = 0; i < 5000; i += 2) {
    ASSERT_THAT(table.find(names[i]), ElementsAre(i, i + 1));
  }
}

constexpr std::uint64_t text_address = 0xffffffff81000000;
constexpr std::uint64_t banner_address = 0xffffffff84000000;
constexpr std::uint64_t ksymtab_address = 0xffffffff85000000;
constexpr std::string_view banner =
    "Linux version 6.1.0-9-amd64 (builder@host (x)) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU "
    "Binutils for Debian) 2.40) #1 SMP\n";

struct TestExport {
  std::string name;
  std::uint32_t crc;
};

// An image with those exports, and the banner given; with `flags`, one for each export, as 7.x
// has them.
Bytes image_with(std::string_view banner_text, const std::vector<TestExport>& exports = {},
                 const std::optional<Bytes>& flags = {}) {
  test::KallsymsTables tables;
  tables.symbols = {{'T', "_text", text_address}, {'R', "linux_banner", banner_address}};
  Bytes entries;
  Bytes crcs;
  Bytes strings{0};
  for (const TestExport& entry : exports) {
    const std::uint64_t at = ksymtab_address + entries.size();
    append_le(entries, static_cast<std::uint32_t>(text_address + 16 - at));
    append_le(entries, static_cast<std::uint32_t>(0x1000 + strings.size() - entries.size()));
    append_le(entries, static_cast<std::uint32_t>(0x1000 - entries.size()));  // the empty string
    append_le(crcs, entry.crc);
    test::append(strings, test::bytes_of(entry.name + '\0'));
  }
  std::vector<test::TinySection> sections{
      {".banner", SHT_PROGBITS, SHF_ALLOC, banner_address,
       test::bytes_of(std::string(banner_text) + '\0')},
      {"__ksymtab", SHT_PROGBITS, SHF_ALLOC, ksymtab_address, entries},
      {"__ksymtab_strings", SHT_PROGBITS, SHF_ALLOC, ksymtab_address + 0x1000, strings}};
  if (flags) {
    sections.push_back({"__kflagstab", SHT_PROGBITS, SHF_ALLOC, ksymtab_address + 0x800, *flags});
  } else {
    sections.insert(sections.end(),
                    {{"__ksymtab_gpl", SHT_PROGBITS, SHF_ALLOC, ksymtab_address + 0x800, {}},
                     {"__kcrctab", SHT_PROGBITS, SHF_ALLOC, ksymtab_address + 0x900, crcs},
                     {"__kcrctab_gpl", SHT_PROGBITS, SHF_ALLOC, ksymtab_address + 0xa00, {}}});
  }
  return test::tiny_vmlinux(test::kallsyms_rodata(tables), sections);
}

Result<Image> open_image(ByteView bytes) {
  auto directory = TRY(TempDir::create(fs::temp_directory_path(), "suture-image-test"));
  const fs::path path = directory.path() / "vmlinux";
  TRY(write_file(path, bytes));
  return Image::open(path);
}

TEST(Image, TellsWhatItIs) {
  auto image = open_image(image_with(banner));
  ASSERT_TRUE(image) << image.error().reason;
  EXPECT_EQ(image->build_id(), "abcdef");
  EXPECT_EQ(image->release(), "6.1.0-9-amd64");
  EXPECT_EQ(image->compiler(), "gcc-12 (Debian 12.2.0-14) 12.2.0");
  EXPECT_EQ(image->banner() + "\n", banner);
}

TEST(Image, GivesBytesOnlyWithinOneSection) {
  auto image = open_image(image_with(banner));
  ASSERT_TRUE(image);
  EXPECT_THAT(*image->at(text_address + 4094, 2), ElementsAre(0x90, 0x90));
  EXPECT_FALSE(image->at(text_address + 4094, 3));
  EXPECT_FALSE(image->at(text_address - 1, 1));
  EXPECT_FALSE(image->at(text_address + 1, ~std::uint64_t{0}));
}

TEST(Image, BannerThatIsNoneIsBadImage) {
  auto image = open_image(image_with("Not a banner"));
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, Code::bad_image);
}

TEST(Image, CutOffAnywhereIsBadImage) {
  const Bytes whole = image_with(banner);
  for (std::size_t size = 0; size < whole.size(); size += 67) {
    auto image = open_image(ByteView(whole).first(size));
    ASSERT_FALSE(image) << size;
    EXPECT_EQ(image.error().code, Code::bad_image) << size;
  }
}

TEST(Exports, AreReadWithTheirChecksums) {
  auto image = open_image(image_with(banner, {{"zeta", 0x11111111}, {"alpha", 0x22222222}}));
  ASSERT_TRUE(image);
  auto exports = read_exports(*image);
  ASSERT_TRUE(exports) << exports.error().reason;
  ASSERT_EQ(exports->size(), 2U);
  EXPECT_EQ(exports->front().name, "alpha");
  EXPECT_EQ(exports->front().crc, 0x22222222U);
  EXPECT_EQ(exports->front().address, text_address + 16);
  EXPECT_EQ(exports->back().name, "zeta");
}

TEST(Exports, SayByFlagsWhoMayUseThemWhereOneTableHasAll) {
  auto image = open_image(image_with(banner, {{"zeta", 0}, {"alpha", 0}}, Bytes{1, 0}));
  ASSERT_TRUE(image);
  auto exports = read_exports(*image);
  ASSERT_TRUE(exports) << exports.error().reason;
  ASSERT_EQ(exports->size(), 2U);
  EXPECT_EQ(exports->front().name, "alpha");
  EXPECT_FALSE(exports->front().gpl_only);
  EXPECT_EQ(exports->back().name, "zeta");
  EXPECT_TRUE(exports->back().gpl_only);
}

TEST(Exports, WithTooFewFlagsAreABadImage) {
  auto image = open_image(image_with(banner, {{"zeta", 0}, {"alpha", 0}}, Bytes{1}));
  ASSERT_TRUE(image);
  EXPECT_EQ(read_exports(*image).error().code, Code::bad_image);
}

// An image that has those parameters, names and modes, and says of one built-in module what version
// it has.
Bytes image_with_parameters(const std::vector<std::pair<std::string, std::uint16_t>>& parameters,
                            const std::string& versioned) {
  constexpr std::uint64_t table = ksymtab_address;
  constexpr std::uint64_t versions = table + 0x800;
  constexpr std::uint64_t strings_address = table + 0x1000;
  Bytes entries;
  Bytes strings;
  for (const auto& [name, mode] : parameters) {
    append_le(entries, strings_address + strings.size());
    append_le<std::uint64_t>(entries, 0);
    append_le<std::uint64_t>(entries, 0);
    append_le<std::uint64_t>(entries, mode);
    append_le<std::uint64_t>(entries, 0);
    test::append(strings, test::bytes_of(name + '\0'));
  }
  Bytes version(56);
  append_le(version, strings_address + strings.size());
  append_le<std::uint64_t>(version, 0);
  test::append(strings, test::bytes_of(versioned + '\0'));
  test::KallsymsTables tables;
  tables.symbols = {
      {'T', "_text", text_address},        {'R', "linux_banner", banner_address},
      {'R', "__start___param", table},     {'R', "__stop___param", table + entries.size()},
      {'R', "__start___modver", versions}, {'R', "__stop___modver", versions + version.size()}};
  return test::tiny_vmlinux(test::kallsyms_rodata(tables),
                            {{".banner", SHT_PROGBITS, SHF_ALLOC, banner_address,
                              test::bytes_of(std::string(banner) + '\0')},
                             {"__param", SHT_PROGBITS, SHF_ALLOC, table, entries},
                             {"__modver", SHT_PROGBITS, SHF_ALLOC, versions, version},
                             {".strings", SHT_PROGBITS, SHF_ALLOC, strings_address, strings}});
}

TEST(BuiltinModules, AreThoseThatHaveADirectoryInSysfs) {
  auto image = open_image(image_with_parameters(
      {{"printk.time", 0644}, {"printk.devkmsg", 0644}, {"initcall_debug", 0644}, {"vt.x", 0}},
      "tcp_cubic"));
  ASSERT_TRUE(image) << image.error().reason;
  EXPECT_THAT(builtin_modules(*image), ElementsAre("kernel", "printk", "tcp_cubic", "vmlinux"));
}

TEST(BuiltinModules, AreTwoWhereTheTablesAreNotThere) {
  auto image = open_image(image_with(banner));
  ASSERT_TRUE(image);
  EXPECT_THAT(builtin_modules(*image), ElementsAre("kernel", "vmlinux"));
}

Status match(std::string symvers_text) {
  auto image = TRY(open_image(image_with(banner, {{"zeta", 0x11111111}, {"alpha", 0x22222222}})));
  auto symvers = TRY(Symvers::parse(std::move(symvers_text), "Module.symvers"));
  return symvers_match(symvers, image);
}

TEST(Exports, MatchTheirOwnSymvers) {
  EXPECT_TRUE(
      match("0x11111111\tzeta\tvmlinux\tEXPORT_SYMBOL\t\n"
            "0x33333333\tother\tfs/fat/fat\tEXPORT_SYMBOL_GPL\t\n"
            "0x22222222\talpha\tvmlinux\tEXPORT_SYMBOL\t\n"));
}

void expect_wrong_kernel(const Status& status, std::string_view symbol) {
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::wrong_kernel);
  EXPECT_EQ(status.error().where, symbol);
}

TEST(Exports, AnotherChecksumIsAnotherKernel) {
  expect_wrong_kernel(match("0x11111112\tzeta\tvmlinux\tEXPORT_SYMBOL\t\n"
                            "0x22222223\talpha\tvmlinux\tEXPORT_SYMBOL\t\n"),
                      "alpha");
}

TEST(Exports, AnExportTooFewIsAnotherKernel) {
  expect_wrong_kernel(match("0x22222222\talpha\tvmlinux\tEXPORT_SYMBOL\t\n"), "zeta");
}

TEST(Exports, AnExportTooManyIsAnotherKernel) {
  expect_wrong_kernel(match("0x11111111\tzeta\tvmlinux\tEXPORT_SYMBOL\t\n"
                            "0x33333333\tother\tvmlinux\tEXPORT_SYMBOL\t\n"
                            "0x22222222\talpha\tvmlinux\tEXPORT_SYMBOL\t\n"),
                      "other");
}

}  // namespace
}  // namespace suture::kernel
