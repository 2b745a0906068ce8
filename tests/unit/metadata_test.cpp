// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_elf.h"

namespace suture::module {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

Metadata sample() {
  Metadata out{.name = "fix", .version = "3", .tool = "0.1.0", .release = "6.1.0-56-amd64"};
  out.description = "mend a = sign";
  out.replace = true;
  out.cves = {"CVE-2026-1234"};
  out.diffs = {{.sha256 = "ab12", .file = "fixes.mbox (mail 2)"}};
  PatchedObject object{.name = "vmlinux", .build_id = "cd34"};
  object.functions = {{.name = "f", .sympos = 2, .source = "fs/f.c"},
                      {.name = "added", .source = "fs/f.c", .is_new = true}};
  out.objects = {object};
  return out;
}

Result<Metadata> read(const std::vector<std::string>& items,
                      const std::vector<test::TinySymbol>& symbols = {}) {
  std::string info;
  for (const std::string& item : items) {
    info += item + '\0';
  }
  Bytes bytes = test::tiny_elf(
      ET_REL, {{".modinfo", SHT_PROGBITS, SHF_ALLOC, 0, test::bytes_of(info)}}, symbols);
  elf::ObjectFile object = TRY(elf::ObjectFile::parse(std::move(bytes), "fix.ko"));
  return read_metadata(object, "fix.ko");
}

TEST(ModuleMetadata, ReadsBackWhatItWrote) {
  Metadata metadata = read(to_modinfo(sample())).value();
  EXPECT_TRUE(metadata.ours);
  EXPECT_EQ(metadata.version, "3");
  EXPECT_EQ(metadata.release, "6.1.0-56-amd64");
  EXPECT_EQ(metadata.description, "mend a = sign");
  EXPECT_TRUE(metadata.replace);
  EXPECT_THAT(metadata.cves, ElementsAre("CVE-2026-1234"));
  ASSERT_THAT(metadata.diffs, SizeIs(1));
  EXPECT_EQ(metadata.diffs[0].file, "fixes.mbox (mail 2)");
}

TEST(ModuleMetadata, ReadsBackTheFunctions) {
  Metadata metadata = read(to_modinfo(sample())).value();
  ASSERT_THAT(metadata.objects, SizeIs(1));
  EXPECT_EQ(metadata.objects[0].build_id, "cd34");
  const auto& functions = metadata.objects[0].functions;
  ASSERT_THAT(functions, SizeIs(2));
  EXPECT_EQ(functions[0].sympos, 2U);
  EXPECT_FALSE(functions[0].is_new);
  EXPECT_TRUE(functions[1].is_new);
}

TEST(ModuleMetadata, ReadsBackStatesCallbacksAndWhatIsIgnored) {
  Metadata stated = sample();
  stated.states = {{.id = 0x100000000, .version = 2}};
  stated.callbacks = {{"ext4", "post_patch", "convert", "fs/ext4/super.c"}};
  stated.ignored = {{"fs/f.c", "limit", "set by a callback"}};
  Metadata metadata = read(to_modinfo(stated)).value();
  ASSERT_THAT(metadata.states, SizeIs(1));
  EXPECT_EQ(metadata.states[0].id, 0x100000000U);
  EXPECT_EQ(metadata.states[0].version, 2U);
  ASSERT_THAT(metadata.callbacks, SizeIs(1));
  EXPECT_EQ(metadata.callbacks[0].kind, "post_patch");
  EXPECT_EQ(metadata.callbacks[0].source, "fs/ext4/super.c");
  ASSERT_THAT(metadata.ignored, SizeIs(1));
  EXPECT_EQ(metadata.ignored[0].reason, "set by a callback");
}

TEST(ModuleMetadata, TheNoteSaysTheSame) {
  std::optional<Metadata> metadata = parse_note(to_note(sample()));
  ASSERT_TRUE(metadata);
  EXPECT_EQ(metadata->name, "fix");
  EXPECT_EQ(metadata->version, "3");
  EXPECT_EQ(to_modinfo(*metadata), to_modinfo(sample()));
}

TEST(ModuleMetadata, ACutOrForeignNoteSaysNothing) {
  Bytes note = to_note(sample());
  for (std::size_t size = 0; size < 64; ++size) {
    EXPECT_FALSE(parse_note(ByteView(note).first(size)));
  }
  note[12] = 's';
  EXPECT_FALSE(parse_note(note));
}

TEST(ModuleMetadata, TakesTheReleaseOfAForeignModuleFromItsVermagic) {
  Metadata metadata = read({"name=other", "vermagic=6.1.0-9 SMP", "livepatch=Y"}).value();
  EXPECT_FALSE(metadata.ours);
  EXPECT_EQ(metadata.release, "6.1.0-9");
  EXPECT_TRUE(metadata.livepatch);
}

TEST(ModuleMetadata, ListsWhatLivepatchBindsAndWhatIsImported) {
  Metadata metadata =
      read({"name=x"}, {{".klp.sym.vmlinux.hidden,2", elf::shn_livepatch}, {"printk", SHN_UNDEF}})
          .value();
  EXPECT_THAT(metadata.core_symbols, ElementsAre("vmlinux:hidden,2"));
  EXPECT_THAT(metadata.imports, ElementsAre("printk"));
}

// A module of another builder, with `data` and its pointers; symbol 1 is the start of the strings
// "f" and "ext4", symbol 2 of the code, symbol 3 of `data`.
Result<Metadata> read_foreign(test::TinySection data, const Bytes& pointers) {
  constexpr std::uint32_t symbol_table = 6;
  Bytes bytes = test::tiny_elf(
      ET_REL,
      {{".modinfo", SHT_PROGBITS, SHF_ALLOC, 0, test::bytes_of(std::string("livepatch=Y\0", 12))},
       {".str", SHT_PROGBITS, SHF_ALLOC | SHF_STRINGS, 0,
        test::bytes_of(std::string("f\0ext4", 7))},
       {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, Bytes(16)},
       std::move(data),
       {".rela", SHT_RELA, 0, 0, pointers, symbol_table, 4, sizeof(Elf64_Rela)}},
      {{"strings", 2}, {"code", 3}, {"data", 4}});
  elf::ObjectFile object = TRY(elf::ObjectFile::parse(std::move(bytes), "fix.ko"));
  return read_metadata(object, "fix.ko");
}

void append_pointer(Bytes& out, std::uint64_t at, std::uint32_t symbol, std::int64_t addend) {
  test::append_struct(out, Elf64_Rela{at, ELF64_R_INFO(symbol, R_X86_64_64), addend});
}

TEST(ModuleMetadata, TellsTheFunctionsOfAnotherBuilder) {
  Bytes pointers;
  append_pointer(pointers, 0, 1, 0);   // klp_func: "f",
  append_pointer(pointers, 8, 2, 0);   // the new code
  append_pointer(pointers, 24, 1, 2);  // klp_object: "ext4",
  append_pointer(pointers, 32, 3, 0);  // its functions
  Bytes data(40);
  data[16] = 3;
  Metadata metadata =
      read_foreign({".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, data}, pointers).value();
  ASSERT_THAT(metadata.objects, SizeIs(1));
  EXPECT_EQ(metadata.objects[0].name, "ext4");
  ASSERT_THAT(metadata.objects[0].functions, SizeIs(1));
  EXPECT_EQ(metadata.objects[0].functions[0].name, "f");
  EXPECT_EQ(metadata.objects[0].functions[0].sympos, 3U);
}

TEST(ModuleMetadata, AListOfFunctionsWithoutContentsIsEmpty) {
  test::TinySection list{".kpatch.funcs", SHT_NOBITS, SHF_ALLOC, 0, {}};
  list.size = std::uint64_t{1} << 60;
  EXPECT_TRUE(read_foreign(list, {}).value().objects.empty());
}

TEST(ModuleMetadata, IsReadInTheTimeThatTheFilesLengthTakes) {
  constexpr std::uint64_t pairs = 100'000;
  Bytes pointers;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    append_pointer(pointers, 16 * i, 1, 0);
    append_pointer(pointers, 16 * i + 8, 2, 0);
  }
  append_pointer(pointers, 16 * pairs, 3, 0);
  const Bytes data(16 * pairs + 8);
  Metadata metadata =
      read_foreign({".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, data}, pointers).value();
  ASSERT_THAT(metadata.objects, SizeIs(1));
  EXPECT_THAT(metadata.objects[0].functions, SizeIs(pairs));
}

TEST(ModuleMetadata, RefusesWhatIsNoModule) {
  Bytes bytes = test::tiny_elf(ET_REL, {{".text"}});
  elf::ObjectFile object = elf::ObjectFile::parse(std::move(bytes), "x.o").value();
  EXPECT_EQ(read_metadata(object, "x.o").error().code, Code::bad_module);
}

}  // namespace
}  // namespace suture::module
