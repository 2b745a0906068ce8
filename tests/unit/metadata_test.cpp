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
  out.diffs = {{.sha256 = "ab12", .file = "fix.patch"}};
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
  EXPECT_EQ(metadata.diffs[0].file, "fix.patch");
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
  EXPECT_THAT(metadata.klp_symbols, ElementsAre("vmlinux:hidden,2"));
  EXPECT_THAT(metadata.imports, ElementsAre("printk"));
}

TEST(ModuleMetadata, RefusesWhatIsNoModule) {
  Bytes bytes = test::tiny_elf(ET_REL, {{".text"}});
  elf::ObjectFile object = elf::ObjectFile::parse(std::move(bytes), "x.o").value();
  EXPECT_EQ(read_metadata(object, "x.o").error().code, Code::bad_module);
}

}  // namespace
}  // namespace suture::module
