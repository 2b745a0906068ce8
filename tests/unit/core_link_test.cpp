// SPDX-License-Identifier: GPL-2.0-or-later
//
// Modules for Suture's own core, as kmod/include/suture_patch.h wants them.
#include <gmock/gmock.h>

#include "module/link.h"
#include "support/linked.h"

namespace suture::module {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

using test::new_f;
using test::old_f;
using test::traced;

class CoreLink : public test::Linking {
 protected:
  void SetUp() override {
    Linking::SetUp();
    for_suture();
  }

  elf::ObjectFile made(const std::string& pre, const std::string& post, const std::string& run,
                       const std::string& object = "vmlinux") {
    Result<Linked> linked = make(pre, post, run, object);
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    return elf::ObjectFile::parse(linked->module, "patch.ko").value();
  }
  // f is changed, and `rest` stays as it is.
  elf::ObjectFile made_f(const std::string& before, const std::string& after,
                         const std::string& rest = {}, const std::string& object = "vmlinux") {
    return made(traced("f", before) + rest, traced("f", after) + rest,
                traced("f", before, ".text") + rest, object);
  }

  // Where the pointer at `offset` of a section leads.
  static std::pair<std::string, std::uint64_t> pointer(const elf::ObjectFile& object,
                                                       const std::string& section,
                                                       std::uint64_t offset) {
    for (const elf::Relocation& relocation : object.section(section)->relocations) {
      if (relocation.offset == offset) {
        const elf::Symbol& symbol = object.symbols()[relocation.symbol];
        const std::uint64_t at = symbol.value + static_cast<std::uint64_t>(relocation.addend);
        return {
            symbol.defined() ? object.sections()[symbol.section].name : std::string(symbol.name),
            at};
      }
    }
    return {"nothing", 0};
  }
  static std::uint64_t word(const elf::ObjectFile& object, const std::string& section,
                            std::uint64_t offset) {
    return *read_le<std::uint64_t>(object.section(section)->data, offset);
  }
  static std::string text(const elf::ObjectFile& object,
                          const std::pair<std::string, std::uint64_t>& place) {
    return std::string(read_cstr(object.section(place.first)->data, place.second).value_or(""));
  }

  // What the link says of `code` of f that refers to the unexported variable v.
  Result<Linked> with_tables(const std::string& code, const std::string& tables) {
    const std::string v =
        ".section .data.v,\"aw\",@progbits; .type v, @object\nv: .quad 7\n"
        ".size v, 8\n";
    return make(traced("f", code + old_f) + tables + v, traced("f", code + new_f) + tables + v,
                traced("f", code + old_f, ".text") + tables + v, "vmlinux");
  }
};

constexpr const char* funcs = ".rodata.suture_funcs";
constexpr const char* symbols = ".rodata.suture_symbols";
constexpr const char* records = ".rodata.suture_relocations";
constexpr const char* patch = ".data.suture_patch";

TEST_F(CoreLink, HasNothingForLivepatch) {
  const elf::ObjectFile object = made_f("mov v, %eax; ret", "mov v, %ebx; ret",
                                        ".data; .type v, @object\nv: .quad 7; .size v, 8\n");
  for (const elf::Section& section : object.sections()) {
    EXPECT_THAT(section.name, Not(StartsWith(".klp")));
  }
  for (const elf::Symbol& symbol : object.symbols()) {
    EXPECT_NE(symbol.section, elf::shn_livepatch);
  }
}

TEST_F(CoreLink, NamesThePatchInTheSymbolTable) {
  const elf::ObjectFile object = made_f(old_f, new_f);
  EXPECT_THAT(object.symbols(), Contains(testing::Field(&elf::Symbol::name, "suture_patch")));
}

TEST_F(CoreLink, StatesTheImageAndTheAbi) {
  const elf::ObjectFile object = made_f(old_f, new_f);
  EXPECT_EQ(*read_le<std::uint32_t>(object.section(patch)->data, 0), 2U);
  EXPECT_EQ(word(object, patch, 64), 0xffffffff81000000U);
}

TEST_F(CoreLink, StatesTheOldFunctionAndTheNewOneWithTheirSizes) {
  const elf::ObjectFile object = made_f(old_f, new_f);
  const auto old = pointer(object, funcs, 0);
  EXPECT_EQ(old.first, symbols);
  EXPECT_EQ(text(object, pointer(object, symbols, old.second + 8)), "f");
  EXPECT_EQ(word(object, funcs, 8), 11U);
  EXPECT_EQ(pointer(object, funcs, 32).first, ".text.f");
  EXPECT_EQ(word(object, funcs, 40), 11U);
}

TEST_F(CoreLink, StatesTheColdParts) {
  auto cold = [](const std::string& body, const std::string& section) {
    return test::function("f.cold", body, section.empty() ? ".text.unlikely.f" : section);
  };
  const std::string jumps = "jne f.cold; ret";
  const elf::ObjectFile object =
      made(traced("f", jumps) + cold("inc %eax; ret", ""),
           traced("f", jumps) + cold("inc %eax; inc %ebx; ret", ""),
           traced("f", jumps, ".text") + cold("inc %eax; ret", ".text.unlikely"));
  const auto old = pointer(object, funcs, 16);
  EXPECT_EQ(text(object, pointer(object, symbols, old.second + 8)), "f.cold");
  EXPECT_EQ(word(object, funcs, 24), 3U);
  EXPECT_EQ(pointer(object, funcs, 48).first, ".text.unlikely.f");
  EXPECT_EQ(word(object, funcs, 56), 5U);
}

TEST_F(CoreLink, LeadsFromTheOldEntryByAThunkThatDropsTheReturnAddress) {
  const elf::ObjectFile object = made_f(old_f, new_f);
  const auto entry = pointer(object, funcs, 64);
  EXPECT_EQ(entry.first, ".text.suture_entry");
  const ByteView code = object.section(entry.first)->data;
  EXPECT_EQ(code.size(), 16U);
  EXPECT_EQ(elf::arch_of(EM_X86_64)->entry_thunk_target(code), 9);
  EXPECT_EQ(pointer(object, entry.first, 5).first, ".text.f");
}

TEST_F(CoreLink, UnwindsOutOfAThunkByRowsOfItsOwn) {
  const std::string orc =
      ".section .orc_unwind,\"a\",@progbits; .byte 8, 0, 0, 0, 5, 0\n"
      ".section .orc_unwind_ip,\"a\",@progbits; .long f - .\n";
  const elf::ObjectFile object =
      made(traced("f", old_f) + orc, traced("f", new_f) + orc, traced("f", old_f, ".text"));
  std::vector<std::pair<std::uint64_t, int>> rows;  // offset in the thunk, distance to the frame
  for (std::uint64_t i = 0; i * 4 < object.section(".orc_unwind_ip")->size; ++i) {
    const auto about = pointer(object, ".orc_unwind_ip", i * 4);
    if (about.first == ".text.suture_entry") {
      rows.emplace_back(about.second, object.section(".orc_unwind")->data[i * 6]);
    }
  }
  EXPECT_THAT(rows, ElementsAre(std::pair(0, 16), std::pair(4, 8), std::pair(16, 0)));
}

TEST_F(CoreLink, LeavesAnUnexportedSymbolToARecord) {
  const std::string v =
      ".section .data.v,\"aw\",@progbits; .type v, @object\nv: .quad 7\n"
      ".size v, 8\n";
  const elf::ObjectFile object = made_f("mov v(%rip), %eax; ret", "mov v(%rip), %ebx; ret", v);
  EXPECT_EQ(pointer(object, ".text.f", 7).first, "nothing");
  EXPECT_EQ(pointer(object, records, 0), std::pair(std::string(".text.f"), std::uint64_t{7}));
  const auto symbol = pointer(object, records, 8);
  EXPECT_EQ(text(object, pointer(object, symbols, symbol.second + 8)), "v");
  EXPECT_NE(word(object, symbols, symbol.second + 24), 0U);
  EXPECT_EQ(word(object, records, 16), ~std::uint64_t{3});  // -4
  EXPECT_EQ(word(object, records, 24), std::uint64_t{R_X86_64_PC32});
  EXPECT_EQ(word(object, patch, 56), 1U);
}

TEST_F(CoreLink, BindsASymbolOfAModuleWithThatModule) {
  const std::string v =
      ".section .data.v,\"aw\",@progbits; .type v, @object\nv: .quad 7\n"
      ".size v, 8\n";
  const elf::ObjectFile object =
      made_f("mov v(%rip), %eax; ret", "mov v(%rip), %ebx; ret", v, "tiny");
  EXPECT_EQ(word(object, patch, 56), 0U);
  const auto tiny = pointer(object, patch, 16);
  EXPECT_EQ(text(object, pointer(object, patch, tiny.second)), "tiny");
  EXPECT_EQ(word(object, patch, tiny.second + 40), 1U);
  EXPECT_EQ(word(object, symbols, pointer(object, records, 8).second + 24), 0U);
}

TEST_F(CoreLink, IsReadBackWithWhatTheCoreBinds) {
  const std::string v =
      ".section .data.v,\"aw\",@progbits; .type v, @object\nv: .quad 7\n"
      ".size v, 8\n";
  const Metadata metadata =
      read_metadata(made_f("mov v(%rip), %eax; ret", "mov v(%rip), %ebx; ret", v), "patch.ko")
          .value();
  EXPECT_EQ(metadata.core, Core::suture);
  EXPECT_FALSE(metadata.livepatch);
  EXPECT_THAT(metadata.core_symbols, ElementsAre("vmlinux:v,0"));
}

TEST_F(CoreLink, ImportsWhatTheCoreExportsWithItsChecksum) {
  const elf::ObjectFile object = made_f(old_f, "call suture_shadow_get; ret");
  EXPECT_EQ(pointer(object, ".text.f", 6).first, "suture_shadow_get");
  const ByteView versions = object.section("__versions")->data;
  std::uint64_t crc = 0;
  for (std::uint64_t at = 0; at < versions.size(); at += 64) {
    if (read_cstr(versions, at + 8) == "suture_shadow_get") {
      crc = *read_le<std::uint64_t>(versions, at);
    }
  }
  EXPECT_EQ(crc, 9U);
}

TEST_F(CoreLink, RefusesToBindInAnAlternative) {
  const Result<Linked> linked = with_tables(
      "661: nop; nop; nop; nop; nop; nop; ",
      ".section .altinstr_replacement,\"ax\",@progbits; 664: mov v(%rip), %eax; 665:\n"
      ".section .altinstructions,\"a\",@progbits; .long 661b - ., 664b - .; .word 0x55\n"
      ".byte 6, 6\n");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::special_section);
}

TEST_F(CoreLink, RefusesToBindInWhatAnAlternativeMayReplace) {
  const Result<Linked> linked = with_tables(
      "661: mov v(%rip), %eax; 662: ",
      ".section .altinstr_replacement,\"ax\",@progbits; 664: nop; nop; nop; nop; nop; nop\n"
      ".section .altinstructions,\"a\",@progbits; .long 661b - ., 664b - .; .word 0x55\n"
      ".byte 6, 6\n");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::special_section);
}

TEST_F(CoreLink, RefusesToBindAReturnThatTheKernelRewrites) {
  const Result<Linked> linked = with_tables(
      "jne 1f; 2: jmp v; 1: ", ".section .return_sites,\"a\",@progbits; .long 2b - .\n");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::special_section);
}

TEST_F(CoreLink, RefusesToBindInPerCpuData) {
  const std::string v =
      ".section .data.v,\"aw\",@progbits; .type v, @object\nv: .quad 7\n"
      ".size v, 8\n";
  const std::string per_cpu =
      ".section .data..percpu,\"aw\",@progbits; .type p, @object\np: .quad v; .size p, 8\n";
  const Result<Linked> linked =
      make(traced("f", old_f) + v, traced("f", "mov %gs:p, %eax; ret") + v + per_cpu,
           traced("f", old_f, ".text") + v, "vmlinux");
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::special_section);
}

}  // namespace
}  // namespace suture::module
