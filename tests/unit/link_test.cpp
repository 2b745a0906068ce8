// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/link.h"

#include <gmock/gmock.h>

#include "support/linked.h"

namespace suture::module {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using test::new_f;
using test::old_f;
using test::traced;

class Link : public test::Linking {
 protected:
  Result<Linked> make(const std::string& pre, const std::string& post, const std::string& run,
                      const std::string& object = "vmlinux") {
    return Linking::make(pre, post, run, object);
  }
  elf::ObjectFile made(const std::string& pre, const std::string& post, const std::string& run,
                       const std::string& object = "vmlinux") {
    Result<Linked> linked = make(pre, post, run, object);
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    return elf::ObjectFile::parse(linked->module, "patch.ko").value();
  }
  // What the field at `offset` of a section refers to: a name, or the section's for its symbol.
  static std::string target(const elf::ObjectFile& object, const char* section,
                            std::uint64_t offset) {
    for (const elf::Relocation& relocation : object.section(section)->relocations) {
      const elf::Symbol& symbol = object.symbols()[relocation.symbol];
      if (relocation.offset == offset) {
        return std::string(symbol.name.empty() ? object.sections()[symbol.section].name
                                               : symbol.name);
      }
    }
    return "nothing";
  }
};

TEST_F(Link, RedirectsTheChangedFunction) {
  Linked linked = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text")).value();
  ASSERT_EQ(linked.metadata.objects.size(), 1U);
  EXPECT_EQ(linked.metadata.objects[0].functions.at(0).name, "f");
  elf::ObjectFile object = elf::ObjectFile::parse(linked.module, "patch.ko").value();
  // After klp_patch and two klp_objects of 64 bytes each: klp_func.
  EXPECT_EQ(target(object, ".data.suture_patch", 192 + 8), ".text.f");
}

TEST_F(Link, GivesWhatTakesTheRunningFunctionsPlaceANameOfItsOwn) {
  const elf::ObjectFile object =
      made(traced("f", old_f), traced("f", "call g; ret") + traced("g", old_f),
           traced("f", old_f, ".text"));
  std::set<std::string> functions;
  for (const elf::Symbol& symbol : object.symbols()) {
    if (symbol.defined() && object.sections()[symbol.section].name.starts_with(".text.") &&
        !symbol.name.empty()) {
      functions.emplace(symbol.name);
    }
  }
  EXPECT_EQ(functions, (std::set<std::string>{"f.patched", "g"}));
}

TEST_F(Link, MakesTheSameBytesOfTheSameInput) {
  const std::string run = traced("f", old_f, ".text");
  Bytes first = make(traced("f", old_f), traced("f", new_f), run)->module;
  EXPECT_EQ(make(traced("f", old_f), traced("f", new_f), run)->module, first);
}

TEST_F(Link, CallsTheNewFunctionButTakesTheOldOnesAddress) {
  const std::string uses = "call f; mov $f, %rdi; ret";
  elf::ObjectFile object = made(traced("f", old_f) + traced("g", "nop; " + uses),
                                traced("f", new_f) + traced("g", "inc %eax; " + uses),
                                traced("f", old_f, ".text") + traced("g", uses, ".text"));
  // __fentry__, inc, call f at 7, mov $f at 12.
  EXPECT_EQ(target(object, ".text.g", 8), ".text.f");
  EXPECT_EQ(target(object, ".text.g", 15), ".klp.sym.vmlinux.f,0");
}

TEST_F(Link, RefusesANewCallOfWhatIsFreedAfterBoot) {
  const std::string boot = test::function("boot", "ret", ".init.text");
  const std::string run = traced("f", old_f, ".text") + test::function("boot", "ret", ".text");
  Result<Linked> linked =
      make(traced("f", old_f) + boot, traced("f", "call boot; ret") + boot, run, "tiny");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::init_only);
  EXPECT_EQ(linked.error().where, "f.c: f");
}

// One function calls another, whose address nothing of the object takes: so the list says that is
// given.
class LinkSealed : public Link {
 protected:
  Result<Linked> make(const std::string& new_f_code, const std::string& list,
                      const std::string& more = {}) {
    const std::string g = traced("g", old_f);
    const std::string run = traced("f", "call g; ret", ".text") + traced("g", old_f, ".text");
    return Link::make(traced("f", "call g; ret") + g, traced("f", new_f_code) + g + more,
                      run + list, "tiny");
  }
};

const std::string lists_g = ".section .ibt_endbr_seal,\"a\",@progbits; .long g - .\n";

TEST_F(LinkSealed, RefusesANewAddressThatNobodyMayCall) {
  for (const char* code : {"mov $g, %rdi; call g; ret", "lea g(%rip), %rdi; call g; ret"}) {
    Result<Linked> linked = make(code, lists_g);
    ASSERT_FALSE(linked.has_value()) << code;
    EXPECT_EQ(linked.error().code, Code::symbol_unresolved);
    EXPECT_EQ(linked.error().where, "f.c: f");
  }
}

TEST_F(LinkSealed, RefusesANewTableThatNamesWhatNobodyMayCall) {
  const std::string table =
      ".section .rodata.ops,\"a\"; .type ops, @object; ops: .quad g; .size ops, 8\n";
  Result<Linked> linked = make("mov $ops, %rdi; ret", lists_g, table);
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().where, "f.c: ops");
}

TEST_F(LinkSealed, LetsItBeCalledByName) { EXPECT_TRUE(make("nop; call g; jmp g", lists_g)); }

TEST_F(LinkSealed, LetsTheAddressOfOthersBeTaken) {
  EXPECT_TRUE(make("mov $g, %rdi; call g; ret", ""));
}

TEST_F(Link, KeepsACallOfWhatIsFreedAfterBoot) {
  const std::string boot = test::function("boot", "ret", ".init.text");
  const std::string run =
      traced("f", "call boot; ret", ".text") + test::function("boot", "ret", ".text");
  EXPECT_TRUE(make(traced("f", "call boot; ret") + boot, traced("f", "call boot; nop; ret") + boot,
                   run, "tiny"));
}

TEST_F(Link, LetsTableEntriesFollowTheirCode) {
  auto locks = [&](const char* first, const char* second) {
    return fmt::format(".section .smp_locks,\"a\",@progbits; .long {} - .; .long {} - .\n", first,
                       second);
  };
  elf::ObjectFile object = made(traced("f", old_f) + traced("g", old_f) + locks("g", "f"),
                                traced("f", new_f) + traced("g", old_f) + locks("g", "f"),
                                traced("f", old_f, ".text") + traced("g", old_f, ".text"));
  ASSERT_EQ(object.section(".smp_locks")->size, 4U);
  EXPECT_EQ(target(object, ".smp_locks", 0), ".text.f");
}

TEST_F(Link, RefusesPerCpuDataWhoseFirstValueIsAnAddress) {
  const std::string fresh =
      ".section .data..percpu,\"aw\",@progbits; .type v,@object; v: .quad f; .size v, 8\n";
  auto linked =
      make(traced("f", old_f), traced("f", std::string("mov %gs:v, %rax; ") + new_f) + fresh,
           traced("f", old_f, ".text"));
  ASSERT_FALSE(linked);
  EXPECT_EQ(linked.error().code, Code::special_section);
  EXPECT_EQ(linked.error().where, "v");
}

TEST_F(Link, RefusesMorePerCpuDataThanTheKernelKeepsForModules) {
  const auto with = [&](int bytes) {
    return make(traced("f", old_f),
                traced("f", std::string("mov %gs:v, %rax; ") + new_f) +
                    fmt::format(".section .data..percpu,\"aw\",@progbits; .type v,@object; v: "
                                ".zero {0}; .size v, {0}\n",
                                bytes),
                traced("f", old_f, ".text"));
  };
  EXPECT_TRUE(with(8192));
  const auto linked = with(8193);
  ASSERT_FALSE(linked);
  EXPECT_EQ(linked.error().code, Code::special_section);
  EXPECT_EQ(linked.error().reason,
            "the new per-CPU variables take 8193 bytes for each CPU, and the kernel has 8192 for "
            "those of all modules together");
}

TEST_F(Link, WritesALastEntryThatWasCutOffWhole) {
  const std::string table = ".section .parainstructions,\"a\",@progbits; .quad f; .byte 1, 5\n";
  elf::ObjectFile object =
      made(traced("f", old_f) + table, traced("f", new_f) + table, traced("f", old_f, ".text"));
  EXPECT_EQ(object.section(".parainstructions")->size, 16U);
}

TEST_F(Link, StartsAndEndsTheOrcRowsOfAFunction) {
  const std::string orc =
      ".section .orc_unwind,\"a\",@progbits; .byte 1, 2, 3, 4, 5, 6\n"
      ".section .orc_unwind_ip,\"a\",@progbits; .long f - .\n";
  elf::ObjectFile object =
      made(traced("f", old_f) + orc, traced("f", new_f) + orc, traced("f", old_f, ".text"));
  const elf::Section* rows = object.section(".orc_unwind");
  const auto& places = object.section(".orc_unwind_ip")->relocations;
  ASSERT_EQ(rows->size, 12U);
  EXPECT_EQ(places.at(0).addend, 0);
  EXPECT_EQ(places.at(1).addend, 11);  // the size of f
  EXPECT_THAT(Bytes(rows->data.begin(), rows->data.end()),
              ElementsAre(1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0));
}

// A function of the module "tiny" with a static branch by a key of that module.
class LinkLateKey : public Link {
 protected:
  static constexpr const char* wide = ".byte 0x0f, 0x1f, 0x44, 0, 0";

  // f with an alternative whose length is `length`, the next one's bytes being a call of h.
  Result<Linked> make_alternative(int length) {
    auto with = [&](const std::string& body, const std::string& section) {
      return test::function("h", "inc %eax; ret", section.empty() ? "" : ".text") +
             traced("f", "661: " + std::string(wide) + "; " + body, section) +
             ".section .altinstr_replacement,\"ax\",@progbits; 664: call h\n"
             ".section .altinstructions,\"a\",@progbits; .long 661b - ., 664b - .; .word 0x55\n" +
             fmt::format(".byte 5, {}\n", length);
    };
    return make(with(old_f, ""), with(new_f, ""), with(old_f, ".text"), "tiny");
  }
  static std::string with_branch(const std::string& body, const std::string& section,
                                 const std::string& site, const std::string& key) {
    return ".data; .type key, @object; key: .quad 0; .size key, 8\n" +
           traced("f", ".Lsite: " + site + "; " + body + "\n.Lyes: ret", section) +
           ".section __jump_table,\"aw\",@progbits; .long .Lsite - ., .Lyes - .; .quad " + key +
           " - .\n" +
           test::function("h", "mov key(%rip), %eax; ret", section.empty() ? "" : ".text");
  }
  Result<Linked> make_branch(const std::string& site, const std::string& key,
                             const std::string& more = {}) {
    return make(with_branch(old_f, "", site, key) + more, with_branch(new_f, "", site, key) + more,
                with_branch(old_f, ".text", site, key), "tiny");
  }
  elf::ObjectFile branch(const std::string& key, const std::string& more = {}) {
    Result<Linked> linked = make_branch(wide, key, more);
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    return elf::ObjectFile::parse(linked->module, "patch.ko").value();
  }
  // Where a field points, with the bytes that its instruction has behind it: nothing else is added.
  static std::int64_t addend(const elf::ObjectFile& object, std::uint64_t offset) {
    for (const elf::Relocation& relocation : object.section(".text.f")->relocations) {
      if (relocation.offset == offset) {
        return relocation.addend;
      }
    }
    return 0;
  }
};

// call __fentry__ at 0, the site at 5, mov $2 at 10, ret at 15 and 16; the stub at 17.
TEST_F(LinkLateKey, JumpsToAStubThatAsksTheKey) {
  elf::ObjectFile object = branch("key");
  ByteView code = object.section(".text.f")->data;
  EXPECT_THAT(Bytes(code.begin() + 5, code.begin() + 10), ElementsAre(0xe9, 7, 0, 0, 0));
  // cmpl $0, key(%rip); jne .Lyes; jmp .Lsite + 5
  EXPECT_THAT(
      Bytes(code.begin() + 17, code.end()),
      ElementsAre(0x83, 0x3d, 0, 0, 0, 0, 0, 0x0f, 0x85, 0, 0, 0, 0, 0xe9, 0xe7, 0xff, 0xff, 0xff));
  EXPECT_EQ(target(object, ".text.f", 19), ".klp.sym.tiny.key,0");
  EXPECT_EQ(addend(object, 19), -5);
  EXPECT_EQ(target(object, ".text.f", 26), ".text.f");
  EXPECT_EQ(addend(object, 26), 16 - 4);
}

TEST_F(LinkLateKey, TurnsTheQuestionRoundWithTheBranch) {
  elf::ObjectFile object = branch("key + 3");
  ByteView code = object.section(".text.f")->data;
  EXPECT_THAT(Bytes(code.begin() + 17, code.begin() + 26),
              ElementsAre(0x83, 0x3d, 0, 0, 0, 0, 0, 0x0f, 0x84));
  EXPECT_EQ(addend(object, 19), -5);
}

TEST_F(LinkLateKey, LeavesNothingOfTheJumpThatWasThere) {
  Result<Linked> linked = make_branch(".byte 0xe9; .long h - . - 4", "key");
  ASSERT_TRUE(linked.has_value()) << linked.error().reason;
  elf::ObjectFile object = elf::ObjectFile::parse(linked->module, "patch.ko").value();
  EXPECT_EQ(object.section(".text.f")->data[5], 0xe9);
  EXPECT_EQ(target(object, ".text.f", 6), "nothing");
}

TEST_F(LinkLateKey, LeavesNoEntryToTheLoader) {
  EXPECT_EQ(branch("key").section("__jump_table"), nullptr);
}

TEST_F(LinkLateKey, CountsTheStubToItsFunction) {
  elf::ObjectFile object = branch("key");
  for (const elf::Symbol& symbol : object.symbols()) {
    if (symbol.name == "f") {
      EXPECT_EQ(symbol.size, 17U + 18U);
    }
  }
}

TEST_F(LinkLateKey, UnwindsFromTheStubAsFromTheSite) {
  elf::ObjectFile object =
      branch("key",
             ".section .orc_unwind,\"a\",@progbits; .byte 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2\n"
             ".byte 3, 3, 3, 3, 3, 3\n"
             ".section .orc_unwind_ip,\"a\",@progbits; .long f - ., f + 5 - ., f + 10 - .\n");
  const auto& places = object.section(".orc_unwind_ip")->relocations;
  ByteView rows = object.section(".orc_unwind")->data;
  ASSERT_EQ(places.size(), 5U);
  EXPECT_EQ(places[3].addend, 17);
  EXPECT_EQ(rows[18], 2);
  EXPECT_EQ(places[4].addend, 17 + 18);
  EXPECT_EQ(rows[24], 0);
}

TEST_F(LinkLateKey, RefusesASiteWithoutRoomForAJump) {
  Result<Linked> linked = make_branch(".byte 0x66, 0x90", "key");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::module_static_key);
}

TEST_F(LinkLateKey, LeavesAKeyOfVmlinuxToTheLoader) {
  elf::ObjectFile object = branch("module_layout");
  EXPECT_EQ(object.section("__jump_table")->size, 16U);
  EXPECT_EQ(target(object, "__jump_table", 8), "module_layout");
  EXPECT_EQ(object.section(".text.f")->size, 17U);
}

TEST_F(LinkLateKey, CallsTheTrampolineOfAStaticCall) {
  auto with_call = [&](const std::string& body, const std::string& section) {
    const std::string place = section.empty() ? ".text.__SCT__g" : ".text";
    return ".data; .type __SCK__g, @object; __SCK__g: .quad 0, 0; .size __SCK__g, 16\n" +
           test::function("__SCT__g", "nop; ret", place) +
           traced("f", "1: call __SCT__g; " + body, section) +
           ".section .static_call_sites,\"aw\",@progbits; .long 1b - ., __SCK__g - .\n" +
           test::function("h", "mov __SCK__g(%rip), %eax; ret", section.empty() ? "" : ".text");
  };
  elf::ObjectFile object =
      made(with_call(old_f, ""), with_call(new_f, ""), with_call(old_f, ".text"), "tiny");
  EXPECT_EQ(object.section(".static_call_sites"), nullptr);
  EXPECT_EQ(object.section(".text.f")->data[5], 0xe8);
  EXPECT_EQ(target(object, ".text.f", 6), ".klp.sym.tiny.__SCT__g,0");
}

TEST_F(LinkLateKey, RefusesAnAlternativeThatCallsIntoTheModule) {
  Result<Linked> linked = make_alternative(5);
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::module_static_key);
}

TEST_F(LinkLateKey, RefusesACallIntoTheModuleThatAnAlternativeMayReplace) {
  auto with = [&](const std::string& body, const std::string& section) {
    return test::function("h", "inc %eax; ret", section.empty() ? "" : ".text") +
           traced("f", "661: call h; " + body, section) +
           ".section .altinstr_replacement,\"ax\",@progbits; 664: nop; nop; nop; nop; nop\n"
           ".section .altinstructions,\"a\",@progbits; .long 661b - ., 664b - .; .word 0x55\n"
           ".byte 5, 5\n";
  };
  const Result<Linked> linked =
      make(with(old_f, ""), with(new_f, ""), with(old_f, ".text"), "tiny");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::special_section);
}

TEST_F(LinkLateKey, BringsNothingAlongForAnAlternativeOfNoBytes) {
  Result<Linked> linked = make_alternative(0);
  ASSERT_TRUE(linked.has_value()) << linked.error().reason;
  elf::ObjectFile object = elf::ObjectFile::parse(linked->module, "patch.ko").value();
  EXPECT_EQ(object.section(".altinstr_replacement"), nullptr);
  EXPECT_EQ(target(object, ".altinstructions", 4), ".text.f");
}

TEST_F(Link, RelocatesABranchThatTheAssemblerResolved) {
  const std::string jump = "1: .byte 0xe8; .long g - . - 4; ret";
  auto both = [&](const std::string& body, const std::string& section) {
    return test::function("g", old_f, section) + traced("f", body, section);
  };
  elf::ObjectFile object =
      made(both("nop; " + jump, ".text"), both("inc %eax; " + jump, ".text"), both(jump, ".text"));
  EXPECT_EQ(target(object, ".text", 8), ".klp.sym.vmlinux.g,0");
  EXPECT_EQ(read_le<std::uint32_t>(object.section(".text")->data, 8), 0U);
}

TEST_F(Link, LeadsAJumpByOneByteToAStubThatIsRelocated) {
  const std::string jump = ".byte 0xeb; .byte g - . - 1";
  auto both = [&](const std::string& body, const std::string& section) {
    return test::function("g", old_f, section) + traced("f", body, section);
  };
  elf::ObjectFile object =
      made(both("nop; " + jump, ".text"), both("inc %eax; " + jump, ".text"), both(jump, ".text"));
  const ByteView code = object.section(".text")->data;
  EXPECT_EQ(code[8], 0U);  // the stub follows at once
  EXPECT_EQ(code[9], 0xe9U);
  EXPECT_EQ(target(object, ".text", 10), ".klp.sym.vmlinux.g,0");
}

}  // namespace
}  // namespace suture::module
