// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/module_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/packers.h"
#include "support/tiny_elf.h"

namespace suture::kernel {
namespace {

using test::TinySymbol;

enum : std::uint16_t { text = 1, init, data, per_cpu, modinfo, versions, comment, self, note };

Bytes module_file(const std::vector<TinySymbol>& symbols) {
  Bytes this_module(1024);
  std::memcpy(this_module.data() + 24, "my_module", 9);
  const Bytes info =
      test::bytes_of(std::string("vermagic=6.1.0 SMP \0depends=one,two_2\0name=x\0", 44));
  return test::tiny_elf(
      ET_REL,
      {{".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, Bytes(64)},
       {".init.text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, Bytes(64)},
       {".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, Bytes(64)},
       {".data..percpu", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, Bytes(64)},
       {".modinfo", SHT_PROGBITS, SHF_ALLOC, 0, info},
       {"__versions", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(64)},
       {".comment", SHT_PROGBITS, 0, 0, Bytes(64)},
       {".gnu.linkonce.this_module", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, this_module},
       {".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 0, test::build_id_note({0x12, 0x34})}},
      symbols);
}

class ModuleFile : public testing::Test {
 protected:
  void SetUp() override {
    auto created = TempDir::create(fs::temp_directory_path(), "suture-module-test");
    ASSERT_TRUE(created);
    directory_ = *std::move(created);
  }
  Result<ModuleImage> open(ByteView bytes, const char* name = "my-module.ko") {
    TRY(write_file(directory_.path() / name, bytes));
    return ModuleImage::open(directory_.path() / name);
  }
  void add(const fs::path& path, std::string_view content = "") {
    ASSERT_TRUE(make_directories((directory_.path() / path).parent_path()));
    ASSERT_TRUE(write_file(directory_.path() / path, content));
  }
  TempDir directory_;
};

TEST_F(ModuleFile, TellsWhatItIs) {
  auto module = open(module_file({}));
  ASSERT_TRUE(module) << module.error().reason;
  EXPECT_EQ(module->name(), "my_module");
  EXPECT_EQ(module->build_id(), "1234");
  EXPECT_EQ(module->vermagic(), "6.1.0 SMP ");
  EXPECT_THAT(module->depends(), testing::ElementsAre("one", "two_2"));
  EXPECT_EQ(module->modinfo("name"), "x");
  EXPECT_EQ(module->modinfo("nam"), "");
}

TEST_F(ModuleFile, MayBeCompressed) {
  const Bytes plain = module_file({});
  EXPECT_TRUE(open(test::pack_gzip(plain), "my-module.ko.gz"));
  EXPECT_TRUE(open(test::pack_xz(plain), "my-module.ko.xz"));
  EXPECT_TRUE(open(test::pack_zstd(plain), "my-module.ko.zst"));
}

TEST_F(ModuleFile, CutOffAnywhereIsBadModule) {
  const Bytes plain = module_file({{"f", text}});
  const Bytes packed = test::pack_xz(plain);
  for (std::size_t size = 0; size < plain.size(); size += 41) {
    auto module = open(ByteView(plain).first(size));
    ASSERT_FALSE(module) << size;
    EXPECT_EQ(module.error().code, Code::bad_module) << size;
  }
  for (std::size_t size = 0; size < packed.size(); size += 7) {
    auto module = open(ByteView(packed).first(size), "my-module.ko.xz");
    ASSERT_FALSE(module) << size;
    EXPECT_EQ(module.error().code, Code::bad_module) << size;
  }
}

TEST_F(ModuleFile, KeepsTheSymbolsThatTheKernelKeeps) {
  auto module = open(module_file({{"file.c", SHN_ABS, 0, STT_FILE},
                                  {"kept_function", text},
                                  {"init_function", init},
                                  {"", data, 0, STT_SECTION},
                                  {"kept_data", data, 0, STT_OBJECT},
                                  {"kept_per_cpu", per_cpu, 0, STT_OBJECT},
                                  {"in_modinfo", modinfo},
                                  {"in_versions", versions},
                                  {"not_allocated", comment},
                                  {"imported", SHN_UNDEF},
                                  {"__this_module", self, 0, STT_OBJECT, STB_GLOBAL}}));
  ASSERT_TRUE(module) << module.error().reason;
  std::vector<std::string_view> names;
  for (std::uint32_t i : module->core_symbols()) {
    names.push_back(module->elf().symbols()[i].name);
  }
  EXPECT_THAT(names,
              testing::ElementsAre("kept_function", "kept_data", "kept_per_cpu", "__this_module"));
}

TEST_F(ModuleFile, SymposCountsKeptNamesakesInSymbolTableOrder) {
  auto module = open(module_file({{"f", text, 32}, {"g", text}, {"f", text, 0}, {"h", init}}));
  ASSERT_TRUE(module);
  EXPECT_EQ(module->sympos(1), 1U);
  EXPECT_EQ(module->sympos(2), 0U);
  EXPECT_EQ(module->sympos(3), 2U);
  EXPECT_TRUE(module->same_sympos_while_loading(3));
}

TEST_F(ModuleFile, AnInitNamesakeGivesAnotherPositionWhileLoading) {
  auto module = open(module_file({{"f", init}, {"f", text}, {"g", text}, {"g", init}}));
  ASSERT_TRUE(module);
  EXPECT_EQ(module->sympos(2), 0U);
  EXPECT_FALSE(module->same_sympos_while_loading(2));
  EXPECT_FALSE(module->same_sympos_while_loading(3));
}

TEST_F(ModuleFile, ObjectThatIsNoModuleIsBadModule) {
  auto module = open(test::tiny_elf(ET_REL, {{.name = ".text", .data = Bytes(16)}}));
  ASSERT_FALSE(module);
  EXPECT_EQ(module.error().code, Code::bad_module);
}

TEST_F(ModuleFile, DirectoryGoesByModulesOrder) {
  add("kernel/fs/my-fs.ko");
  add("kernel/net/my_net.ko.xz");
  add("kernel/old/left-over.ko");
  add("modules.order", "kernel/fs/my-fs.ko\nkernel/net/my_net.ko\nkernel/not/there.ko\n");
  auto modules = ModuleDirectory::open(directory_.path());
  ASSERT_TRUE(modules);
  EXPECT_EQ(modules->all().size(), 2U);
  EXPECT_EQ(modules->find("my_fs"), directory_.path() / "kernel/fs/my-fs.ko");
  EXPECT_EQ(modules->find("my_net"), directory_.path() / "kernel/net/my_net.ko.xz");
  EXPECT_EQ(modules->find("there"), std::nullopt);
}

TEST_F(ModuleFile, DirectoryWithoutModulesOrderIsWalked) {
  add("kernel/fs/my-fs.ko.zst");
  add("updates/other.ko.gz");
  add("modules.dep");
  auto modules = ModuleDirectory::open(directory_.path());
  ASSERT_TRUE(modules);
  EXPECT_EQ(modules->all().size(), 2U);
  EXPECT_TRUE(modules->find("my_fs"));
  EXPECT_TRUE(modules->find("other"));
}

TEST_F(ModuleFile, DirectoryThatIsNotThereIsAnError) {
  EXPECT_FALSE(ModuleDirectory::open(directory_.path() / "none"));
}

}  // namespace
}  // namespace suture::kernel
