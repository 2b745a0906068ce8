// SPDX-License-Identifier: GPL-2.0-or-later
#include "diff/onces.h"

#include <gtest/gtest.h>

#include "support/assembled.h"

namespace suture::diff {
namespace {

class OncesTest : public test::Assembled {
 protected:
  // What is done once, as DO_ONCE() makes it.
  static std::string once(const std::string& arguments,
                          const std::string& function = "get_random_bytes") {
    return arguments + "\ncall " + function +
           "\nmov $___once_key.1, %rsi\nmov $___done.2, %rdi\ncall __do_once_done\n";
  }
  static std::string data(const std::string& name, const std::string& section = ".data") {
    return fmt::format(
        ".section {}.{},\"{}\",@progbits\n.type {}, @object\n{}: .zero 16\n.size {}, 16\n", section,
        name, section == ".data" ? "aw" : "a", name, name, name);
  }

  // The only once of an object with this code, or one that is not known.
  Once read(const std::string& f, const std::string& g = "nop\n") {
    object_ = elf::ObjectFile::open(
                  assemble("x", test::function("f", f + "ret") + test::function("g", g + "ret") +
                                    data("secret") + data("key") + data("___once_key.1") +
                                    data("___done.2") + data("name", ".rodata")))
                  .value();
    graph_ = PieceGraph::build(object_, *elf::arch_of(EM_X86_64)).value();
    const auto all = onces_of(graph_);
    EXPECT_LE(all.size(), 1U);
    return all.empty() ? Once{} : all.begin()->second;
  }
  std::string_view filled(const Once& once) const {
    return once.filled < 0 ? once.name : graph_.piece(once.filled).name;
  }

  elf::ObjectFile object_;
  PieceGraph graph_;
};

TEST_F(OncesTest, TellsWhatIsFilledAndWhere) {
  const Once found = read(once("mov $secret + 8, %rdi"));
  EXPECT_EQ(filled(found), "secret");
  EXPECT_EQ(found.place, 8);
  EXPECT_TRUE(found.only_fills);
}

TEST_F(OncesTest, AnotherFilesVariableIsKnownByItsName) {
  EXPECT_EQ(filled(read(once("mov $their_secret, %rdi"))), "their_secret");
}

TEST_F(OncesTest, AnotherFunctionMayDoMore) {
  const Once found = read(once("mov $secret, %rdi", "set_up"));
  EXPECT_EQ(filled(found), "secret");
  EXPECT_FALSE(found.only_fills);
}

TEST_F(OncesTest, WhatIsConstantIsNotFilled) {
  EXPECT_EQ(filled(read(once("mov $secret, %rdi\nmov $name, %rsi"))), "secret");
}

TEST_F(OncesTest, TheModulesOwnStructureIsNotFilled) {
  EXPECT_EQ(filled(read(once("mov $secret, %rdi\nmov $__this_module, %rsi"))), "secret");
}

TEST_F(OncesTest, TwoFunctionsMayHaveOneOnceInline) {
  const std::string code = once("mov $secret, %rdi");
  EXPECT_EQ(filled(read(code, code)), "secret");
}

TEST_F(OncesTest, AnOnceThatFillsTwoThingsIsNotKnown) {
  const std::string code = once("mov $secret, %rdi");
  EXPECT_EQ(filled(read(code, once("mov $key, %rdi"))), "");
  EXPECT_EQ(filled(read(code, once("mov $secret + 8, %rdi"))), "");
  EXPECT_EQ(filled(read(code, once("mov $secret, %rdi", "set_up"))), "");
}

TEST_F(OncesTest, AnOnceThatFillsNothingThatHasANameIsNotKnown) {
  EXPECT_EQ(filled(read(once("mov %rbx, %rdi"))), "");
}

}  // namespace
}  // namespace suture::diff
