// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/btf.h>

namespace suture::kernel {
namespace {

using ::testing::SizeIs;

// Writes tables that no compiler would make. Types are numbered from 1.
class Table {
 public:
  Table& structure(std::string_view name, const std::vector<std::uint32_t>& member_types) {
    const auto vlen = static_cast<std::uint32_t>(member_types.size());
    words({text(name), BTF_KIND_STRUCT << 24 | vlen, 8});
    for (std::uint32_t type : member_types) {
      words({0, type, 0});
    }
    return *this;
  }
  Table& pointer(std::uint32_t to) {
    words({0, BTF_KIND_PTR << 24, to});
    return *this;
  }
  Table& integer() {
    words({text("int"), BTF_KIND_INT << 24, 4, 32});
    return *this;
  }

  Result<TypeTable> parse(std::uint32_t header_size = sizeof(btf_header)) const {
    Bytes raw;
    append_le<std::uint16_t>(raw, BTF_MAGIC);
    append_le<std::uint16_t>(raw, BTF_VERSION);
    const auto types = static_cast<std::uint32_t>(types_.size());
    const auto names = static_cast<std::uint32_t>(names_.size());
    for (std::uint32_t word : {header_size, 0U, types, types, names}) {
      append_le(raw, word);
    }
    raw.resize(header_size);
    raw.insert(raw.end(), types_.begin(), types_.end());
    raw.insert(raw.end(), names_.begin(), names_.end());
    return TypeTable::parse(raw, "x.o");
  }

 private:
  std::uint32_t text(std::string_view name) {
    if (name.empty()) {
      return 0;
    }
    const auto at = static_cast<std::uint32_t>(names_.size());
    names_.insert(names_.end(), name.begin(), name.end());
    names_.push_back(0);
    return at;
  }
  void words(std::initializer_list<std::uint32_t> list) {
    for (std::uint32_t word : list) {
      append_le(types_, word);
    }
  }

  Bytes types_;
  Bytes names_{0};
};

TEST(Types, AnUnnamedStructureIsDescribedInFull) {
  auto table = Table().structure("s", {2}).structure("", {3, 3}).integer().parse();
  ASSERT_TRUE(table) << table.error().reason;
  ASSERT_THAT(table->named(), SizeIs(1));
  EXPECT_EQ(table->layout(1).members.at(0).type, "struct 8 {@0:int 4;@0:int 4;}");
}

TEST(Types, ANamedStructureMayHoldPointersToItself) {
  auto table = Table().structure("s", {2}).pointer(1).parse();
  ASSERT_TRUE(table) << table.error().reason;
  EXPECT_EQ(table->layout(1).members.at(0).type, "*struct s");
}

TEST(Types, AnUnnamedStructureInsideItselfIsDamage) {
  auto table = Table().structure("s", {2}).structure("", {2, 2}).parse();
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Code::bad_elf);
}

TEST(Types, UnnamedStructuresThatDoubleAtEachStepAreDamage) {
  Table table;
  table.structure("s", {2});
  for (std::uint32_t i = 2; i < 28; ++i) {
    table.structure("", {i + 1, i + 1});
  }
  EXPECT_FALSE(table.integer().parse());
}

TEST(Types, AChainOfPointersThatIsLongerThanAnyCompilersIsDamage) {
  Table table;
  table.structure("s", {2});
  for (std::uint32_t i = 2; i < 100; ++i) {
    table.pointer(i + 1);
  }
  EXPECT_FALSE(table.integer().parse());
}

TEST(Types, TypesThatLieBetweenTwoWordsAreDamage) {
  EXPECT_TRUE(Table().structure("s", {2}).integer().parse(28));
  EXPECT_FALSE(Table().structure("s", {2}).integer().parse(26));
}

TEST(Types, AMemberOfATypeThatIsNotThereIsDamage) {
  EXPECT_FALSE(Table().structure("s", {7}).parse());
}

}  // namespace
}  // namespace suture::kernel
