// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/escapes.h"

#include <gmock/gmock.h>

#include "support/proven.h"

namespace suture::module {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using test::function;
using test::old_f;
using test::traced;

// What a new variable is made of.
std::string variable(const std::string& name, const std::string& value,
                     const std::string& flags = "aw") {
  return fmt::format(
      ".section .data.{0},\"{2}\",@progbits; .type {0}, @object\n{0}: .quad {1}; .size {0}, 8\n",
      name, value, flags);
}

class Escapes : public test::Proving {
 protected:
  void SetUp() override {
    Proving::SetUp();
    std::string symvers =
        "0x00000005\tklp_enable_patch\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
        "0x00000006\t__fentry__\tvmlinux\tEXPORT_SYMBOL\t\n"
        "0x00000007\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n";
    for (const char* name : {"call_rcu", "list_sort", "mutex_lock", "__x86_indirect_thunk_rax"}) {
      symvers += fmt::format("0x00000007\t{}\tvmlinux\tEXPORT_SYMBOL\t\n", name);
      exports_.push_back({.name = name, .address = 0xffffffff81000040, .crc = 7, .name_space = ""});
    }
    symvers_ = kernel::Symvers::parse(symvers, "Module.symvers").value();
    std::ranges::sort(exports_, {}, &kernel::ImageExport::name);
  }

  // "NAME by HOLDER" for each pin of the module in which f does `code`, beside what is new.
  std::vector<std::string> pins(const std::string& code, const std::string& fresh,
                                const std::string& scope = {}) {
    auto linked = Linking::make(scope + traced("f", old_f), scope + traced("f", code) + fresh,
                                scope + traced("f", old_f, ".text"), "tiny");
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    names_.clear();
    for (const diff::Piece& one : graph_.pieces()) {
      names_.emplace_back(one.name);
    }
    patch_ = linked->module;
    std::vector<std::string> out;
    for (const Pin& pin : linked->metadata.pinned) {
      EXPECT_EQ(pin.source, "f.c");
      out.push_back(fmt::format("{} by {}", pin.name, pin.by));
    }
    EXPECT_EQ(all(proof(patch_)), "");
    return out;
  }
  // What the proof says of the same module without its word.
  std::string accusations_of_silence() {
    Bytes silent = patch_;
    const std::string_view key = "suture.pinned=";
    std::size_t found = 0;
    for (std::size_t at = 0; (at = as_text(silent).find(key, at)) != std::string_view::npos; ++at) {
      silent[at + 7] = 'X';
      ++found;
    }
    EXPECT_GE(found, 2U);  // .modinfo and the note
    return all(proof(silent));
  }

  Bytes patch_;
};

const std::string fresh = function("fresh", "mov $3, %eax; ret");

TEST_F(Escapes, CallsAndJumpsArePinlessSoIsThePlaceInsideOfAFunction) {
  EXPECT_THAT(pins("call fresh; jmp fresh", fresh), ElementsAre());
  EXPECT_THAT(pins("mov $fresh + 1, %rax; mov %rax, (%rdi); call fresh; ret", fresh),
              ElementsAre());
}

TEST_F(Escapes, AnAddressThatIsStoredPins) {
  EXPECT_THAT(pins("movq $fresh, 8(%rdi); ret", fresh), ElementsAre("fresh by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: fresh: f gives its address to others"));
}

TEST_F(Escapes, AnAddressThatIsPassedPins) {
  EXPECT_THAT(pins("mov $fresh, %rsi; call call_rcu; ret", fresh), ElementsAre("fresh by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: fresh: f gives its address to others"));
}

TEST_F(Escapes, AnAddressThatIsReturnedToOtherFilesPins) {
  EXPECT_THAT(pins("mov $fresh, %rax; ret", fresh), ElementsAre());
  EXPECT_THAT(pins("mov $fresh, %rax; ret", fresh, ".globl f\n"), ElementsAre("fresh by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: fresh: f gives its address to others"));
}

TEST_F(Escapes, AnAddressThatIsGivenBackIsFollowedInTheCaller) {
  const std::string gives = function("gives", "mov $fresh, %rax; ret");
  EXPECT_THAT(pins("call gives; xor %eax, %eax; ret", fresh + gives), ElementsAre());
  EXPECT_THAT(pins("call gives; mov %rax, (%rdi); ret", fresh + gives), ElementsAre("fresh by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: fresh: f gives its address to others"));
}

TEST_F(Escapes, WhatCallsItAtOnceKeepsNothing) {
  EXPECT_THAT(pins("mov $fresh, %rdx; call list_sort; ret", fresh), ElementsAre());
}

TEST_F(Escapes, AFunctionOfTheFileIsFollowed) {
  const std::string keeps = function("keeps", "mov %rdi, (%rsi); ret");
  const std::string calls =
      function("calls", "mov %rdi, %rax; xor %edi, %edi; jmp __x86_indirect_thunk_rax");
  EXPECT_THAT(pins("mov $fresh, %rdi; call keeps; ret", fresh + keeps), ElementsAre("fresh by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: fresh: f gives its address to others"));
  EXPECT_THAT(pins("mov $fresh, %rdi; call calls; ret", fresh + calls), ElementsAre());
}

TEST_F(Escapes, ATableThatOnlyThePatchLooksIntoPinsNothing) {
  const std::string table = variable("table", "fresh", "a");
  EXPECT_THAT(
      pins("mov table(,%rdi,8), %rax; xor %edi, %edi; jmp __x86_indirect_thunk_rax", fresh + table),
      ElementsAre());
}

TEST_F(Escapes, WhatIsReadFromATableAndStoredPins) {
  const std::string table = variable("table", "fresh", "a");
  EXPECT_THAT(pins("mov table(,%rdi,8), %rax; mov %rax, (%rsi); ret", fresh + table),
              ElementsAre("table by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: table: f gives its address to others"));
  EXPECT_THAT(
      pins("mov $table, %rcx; mov 8(%rcx,%rdi,8), %rax; mov %rax, (%rsi); ret", fresh + table),
      ElementsAre("table by f"));
}

TEST_F(Escapes, OperationsAndWorkItemsPin) {
  const std::string work = variable("work", "fresh");
  EXPECT_THAT(pins("movq $work, (%rdi); ret", fresh + work), ElementsAre("work by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: work: f gives its address to others"));
  EXPECT_THAT(pins("mov $work, %rdi; call call_rcu; ret", fresh + work), ElementsAre("work by f"));
}

TEST_F(Escapes, DataThatOthersKeepPinsAndALockDoesNot) {
  const std::string data = variable("data", "0");
  EXPECT_THAT(pins("incq data; mov $data, %rdi; call mutex_lock; ret", data), ElementsAre());
  EXPECT_THAT(pins("mov $data, %rdi; call call_rcu; ret", data), ElementsAre("data by f"));
  EXPECT_THAT(pins("movq $data, (%rdi); ret", data), ElementsAre("data by f"));
  EXPECT_THAT(accusations_of_silence(), HasSubstr("f.c: data: f gives its address to others"));
}

TEST_F(Escapes, ComparingAnAddressKeepsNothing) {
  EXPECT_THAT(pins("cmpq $fresh, (%rdi); sete %al; movzbl %al, %eax; call fresh; ret", fresh),
              ElementsAre());
}

TEST_F(Escapes, APinnedModuleHasNoExitFunction) {
  auto exits = [&] {
    const auto object = elf::ObjectFile::parse(patch_, "patch.ko").value();
    const auto& fields = object.section(".gnu.linkonce.this_module")->relocations;
    return std::pair(fields.size(), object.section(".exit.text") != nullptr);
  };
  EXPECT_THAT(pins("call fresh; ret", fresh), ElementsAre());
  EXPECT_EQ(exits(), std::pair(std::size_t{2}, true));
  EXPECT_THAT(pins("movq $fresh, (%rdi); ret", fresh), ElementsAre("fresh by f"));
  EXPECT_EQ(exits(), std::pair(std::size_t{1}, false));
}

TEST_F(Escapes, APinnedModuleForSuturesCoreHasNoneEither) {
  for_suture();
  EXPECT_THAT(pins("movq $fresh, (%rdi); ret", fresh), ElementsAre("fresh by f"));
  const auto metadata = read_metadata(elf::ObjectFile::parse(patch_, "p.ko").value(), "p.ko");
  EXPECT_EQ(describe(metadata->pinned), "fresh (by f in f.c)");
}

}  // namespace
}  // namespace suture::module
