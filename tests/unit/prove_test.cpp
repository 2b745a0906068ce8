// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/prove.h"

#include <gmock/gmock.h>

#include "prove/load.h"
#include "support/proven.h"

namespace suture::prove {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using test::fentry;
using test::new_f;
using test::old_f;
using test::traced;

std::string variable(const std::string& name, int value, const std::string& section = {}) {
  return fmt::format(".section {},\"aw\",@progbits; .type {}, @object\n{}: .quad {}; .size {}, 8\n",
                     section.empty() ? ".data." + name : section, name, name, value, name);
}

using Prove = test::Proving;

TEST_F(Prove, AcceptsWhatWasCompiled) {
  const Proof done =
      proof(make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text")));
  EXPECT_EQ(all(done), "");
  EXPECT_TRUE(done.loads);
  EXPECT_EQ(done.redirects, 1U);
}

TEST_F(Prove, AcceptsWhatWasCompiledForSuturesCore) {
  for_suture();
  const std::string g = traced("g", old_f);
  const Proof done =
      proof(make(traced("f", "nop; call g; ret") + g, traced("f", "inc %eax; call g; ret") + g,
                 traced("f", "call g; ret", ".text") + traced("g", old_f, ".text")));
  EXPECT_EQ(all(done), "");
  EXPECT_TRUE(done.loads);
  EXPECT_EQ(done.redirects, 1U);
}

TEST_F(Prove, AccusesAModuleForTheOtherCore) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  for_suture();
  EXPECT_FALSE(proof(module).accusations.empty());
}

TEST_F(Prove, AccusesOtherCode) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  EXPECT_THAT(all(proof_against(module, traced("f", "mov $3, %eax; ret"))),
              HasSubstr("its bytes are others"));
}

TEST_F(Prove, AccusesAFunctionThatDiffersAndIsNotRedirected) {
  const std::string run = traced("f", old_f, ".text") + traced("g", old_f, ".text");
  const Bytes module =
      make(traced("f", old_f) + traced("g", old_f), traced("f", new_f) + traced("g", old_f), run);
  EXPECT_THAT(all(proof_against(module, traced("f", new_f) + traced("g", new_f))),
              HasSubstr("f.c: g: it means something else after the diff"));
}

TEST_F(Prove, AccusesACallToAnotherFunction) {
  const std::string both = traced("g", old_f) + traced("h", old_f);
  const std::string run = traced("g", old_f, ".text") + traced("h", old_f, ".text");
  const Bytes module =
      make(traced("f", "nop; call g; ret") + both, traced("f", "inc %eax; call g; ret") + both,
           traced("f", "call g; ret", ".text") + run);
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, traced("f", "inc %eax; call h; ret") + both)),
              HasSubstr("it should point at h, and points at tiny:g"));
}

TEST_F(Prove, AccusesASecondCopyOfAVariable) {
  // To pre without the variable it is new; the running kernel is then said to have it.
  const std::string uses = "inc %eax; mov counter, %eax; ret";
  const Bytes module = make(traced("f", old_f), traced("f", uses) + variable("counter", 0),
                            traced("f", old_f, ".text"));
  EXPECT_EQ(all(proof(module)), "");
  object_ =
      elf::ObjectFile::open(assemble("another_pre", traced("f", old_f) + variable("counter", 0)))
          .value();
  EXPECT_THAT(all(proof(module)),
              HasSubstr("it uses a second counter, though the running kernel has it"));
}

// A key that is used up would keep another variable empty.
TEST_F(Prove, AcceptsAKeyOfItsOwnForAnotherVariableThatIsFilled) {
  auto once = [](const char* filled) {
    return fmt::format(
        "mov ${}, %rdi; call get_random_bytes; mov $___once_key.1, %rsi; "
        "mov $___done.2, %rdi; call __do_once_done; ret",
        filled);
  };
  auto rest = [](const std::string& section) {
    return traced("get_random_bytes", old_f, section) + traced("__do_once_done", old_f, section) +
           variable("secret", 0) + variable("key", 0) + variable("___once_key.1", 1) +
           variable("___done.2", 0);
  };
  const std::string pre = traced("f", once("secret")) + rest(".text.g");
  const std::string same = traced("f", "inc %eax; " + once("secret")) + rest(".text.g");
  const std::string other = traced("f", "inc %eax; " + once("key")) + rest(".text.g");
  const std::string run = traced("f", once("secret"), ".text") + rest(".text");
  EXPECT_EQ(all(proof(make(pre, same, run))), "");
  // A second copy of what the kernel has would be accused.
  const Bytes fills = make(pre, other, run);
  EXPECT_EQ(all(proof(fills)), "");
  EXPECT_THAT(all(proof_against(fills, same)), HasSubstr("it should point at"));
}

// `goto *labels[i]`: no label moves, and the running kernel's table leads into the old function.
TEST_F(Prove, WantsATableOfLabelsToGoWithTheirFunction) {
  auto code = [](const char* number, const char* labels, const std::string& section = {}) {
    return traced(
               "f",
               fmt::format("mov labels(,%rdi,8), %rax; jmp *%rax; .Lf: mov ${}, %eax; ret", number),
               section) +
           traced("g", "nop; .Lg: nop; ret", section) +
           fmt::format(
               ".section .rodata.labels,\"a\",@progbits; .type labels, @object\n"
               "labels: .quad {0}, {0}; .size labels, 16\n",
               labels);
  };
  EXPECT_EQ(all(proof(make(code("1", ".Lf"), code("2", ".Lf"), code("1", ".Lf", ".text")))), "");
  // Made of objects whose table leads into another function.
  const Bytes module = make(code("1", ".Lg"), code("2", ".Lg"), code("1", ".Lg", ".text"));
  EXPECT_EQ(all(proof(module)), "");
  object_ = elf::ObjectFile::open(assemble("another_pre", code("1", ".Lf"))).value();
  EXPECT_THAT(all(proof_against(module, code("2", ".Lf"))),
              HasSubstr("it uses the running kernel's labels, which changes"));
}

TEST_F(Prove, PairsFunctionsThatAssemblyCountsByTheirOrder) {
  auto code = [](int from, const std::string& f, const std::string& section = {}) {
    std::string out = traced("f", f, section);
    for (int i : {from, from + 1}) {
      out += fmt::format(
          ".section .text.n{0},\"ax\"; .type __UNIQUE_ID_nop{0}, @function\n"
          "__UNIQUE_ID_nop{0}: ret; .size __UNIQUE_ID_nop{0}, 1\n",
          i);
    }
    return out + fmt::format(
                     ".data; .type table, @object\ntable: .quad __UNIQUE_ID_nop{}, "
                     "__UNIQUE_ID_nop{}; .size table, 16\n",
                     from, from + 1);
  };
  EXPECT_EQ(all(proof(make(code(10, old_f), code(11, new_f), code(10, old_f, ".text")))), "");
}

// The compiler numbers static locals anew.
TEST_F(Prove, TellsKeysOfWhatIsDoneOnceApartByWhatTheyFill) {
  auto once = [](const char* filled, int number) {
    return fmt::format(
        "mov ${}, %rdi; call get_random_bytes; mov $___once_key.{}, %rsi; "
        "mov $___done.{}, %rdi; call __do_once_done; ",
        filled, number, number);
  };
  auto two = [&](int secret, int key) { return once("secret", secret) + once("key", key) + "ret"; };
  auto rest = [](const std::string& section) {
    return traced("get_random_bytes", old_f, section) + traced("__do_once_done", old_f, section) +
           variable("secret", 0) + variable("key", 0) + variable("___once_key.1", 1) +
           variable("___done.1", 0) + variable("___once_key.2", 1) + variable("___done.2", 0);
  };
  const std::string pre = traced("f", two(1, 2)) + rest(".text.g");
  const std::string run = traced("f", two(1, 2), ".text") + rest(".text");
  const std::string post = traced("f", "inc %eax; " + two(2, 1)) + rest(".text.g");
  EXPECT_EQ(all(proof(make(pre, post, run))), "");
}

TEST_F(Prove, AccusesARedirectOfWhatWasNotMatched) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  Case without = about();
  without.units[0].defined.clear();
  EXPECT_THAT(all(prove::prove(module, without)),
              HasSubstr("no function of the compiled files runs at tiny:f"));
}

TEST_F(Prove, AccusesAMissingTableEntry) {
  auto lock = [](const char* at) {
    return fmt::format(".section .smp_locks,\"a\",@progbits; .long {} - .\n", at);
  };
  const Bytes module = make(traced("f", old_f) + lock("f"), traced("f", new_f) + lock("f"),
                            traced("f", old_f, ".text"));
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, traced("f", new_f) + lock("f") + lock("f"))),
              HasSubstr("in .smp_locks is missing"));
  EXPECT_THAT(all(proof_against(module, traced("f", new_f))),
              HasSubstr("in .smp_locks is one too many"));
}

TEST_F(Prove, AccusesAModuleThatSaysByItselfThatAChangeIsIgnored) {
  const std::string pre = traced("f", old_f) + traced("g", old_f);
  metadata_.ignored = {{"f.c", "g", "nobody said so"}};
  const Bytes module = make(pre, traced("f", new_f) + traced("g", old_f),
                            traced("f", old_f, ".text") + traced("g", old_f, ".text"));
  EXPECT_THAT(all(proof_against(module, traced("f", new_f) + traced("g", new_f))),
              AllOf(HasSubstr("g: it means something else after the diff"),
                    HasSubstr("suture.ignored does not list")));
}

TEST_F(Prove, AcceptsAJumpByOneByteToAnotherFunction) {
  auto both = [](const std::string& first, const std::string& section) {
    return traced("g", old_f, section) +
           traced("f", first + ".byte 0xeb; .byte g - . - 1", section);
  };
  const Proof done = proof(
      make(both("nop; ", ".sched.text"), both("inc %eax; ", ".sched.text"), both("", ".text")));
  EXPECT_EQ(all(done), "");
  EXPECT_EQ(done.redirects, 1U);
}

// f reads a flag; start is boot code.
std::string with_boot_code(const std::string& f, const std::string& start, int flag = 0) {
  return traced("f", f + "mov flag, %eax; ret") + test::function("start", start, ".init.text") +
         variable("flag", flag);
}

TEST_F(Prove, AccusesWhatReadsWhatBootCodeThatIsLeftOutWrites) {
  const Bytes module = make(with_boot_code("nop; ", "ret"), with_boot_code("inc %eax; ", "ret"),
                            traced("f", "mov flag, %eax; ret", ".text") + variable("flag", 0));
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, with_boot_code("inc %eax; ", "movl $1, flag; ret"))),
              HasSubstr("f: it reads flag, which boot code that is left out would have written"));
}

TEST_F(Prove, AccusesWhatReadsWhatANewFunctionWritesThatOnlyBootCodeCalls) {
  const Bytes module = make(with_boot_code("nop; ", "ret"), with_boot_code("inc %eax; ", "ret"),
                            traced("f", "mov flag, %eax; ret", ".text") + variable("flag", 0));
  const std::string post =
      with_boot_code("inc %eax; ", "call helper; ret") + traced("helper", "movl $1, flag; ret");
  EXPECT_THAT(all(proof_against(module, post)),
              HasSubstr("f: it reads flag, which boot code that is left out would have written"));
}

TEST_F(Prove, AccusesWhatReadsWhatANewFunctionWritesThatOnlyBootCodeHandsOut) {
  const Bytes module = make(with_boot_code("nop; ", "ret"), with_boot_code("inc %eax; ", "ret"),
                            traced("f", "mov flag, %eax; ret", ".text") + variable("flag", 0));
  const std::string post = with_boot_code("inc %eax; ", "mov $timer, %rdi; ret") +
                           traced("tick", "movl $1, flag; ret") +
                           ".section .data.timer,\"aw\"\n.type timer, @object\ntimer: .quad tick\n"
                           ".size timer, 8\n";
  EXPECT_THAT(all(proof_against(module, post)),
              HasSubstr("f: it reads flag, which boot code that is left out would have written"));
}

TEST_F(Prove, AcceptsAFunctionThatBootCodeRegistered) {
  auto side = [](const std::string& first) {
    return traced("f", first + "movl $1, flag; mov flag, %eax; ret") +
           test::function("start", "mov $f, %rdi; ret", ".init.text") + variable("flag", 0);
  };
  const Bytes module =
      make(side("nop; "), side("inc %eax; "),
           traced("f", "movl $1, flag; mov flag, %eax; ret", ".text") + variable("flag", 0));
  EXPECT_EQ(all(proof(module)), "");
}

TEST_F(Prove, AccusesAListThatTheLinkerGathersAndThatChanges) {
  const std::string list = ".section .tracedata,\"a\"\n.long 1\n";
  const Bytes module =
      make(traced("f", old_f) + list, traced("f", new_f) + list, traced("f", old_f, ".text"));
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, traced("f", new_f) + list + ".long 2\n")),
              HasSubstr(".tracedata: its entries change, and the kernel walks its own list"));
}

TEST_F(Prove, AccusesAChangeOfExitCodeOfAModule) {
  auto side = [](const std::string& f, const std::string& gone) {
    return traced("f", f) + test::function("gone", gone, ".exit.text");
  };
  const Bytes module = make(side(old_f, old_f), side(new_f, old_f), traced("f", old_f, ".text"));
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, side(new_f, new_f))),
              HasSubstr("gone: it differs, and the module runs it when it is unloaded"));
}

TEST_F(Prove, AccusesAChangeOfDataWhoseAddressBootCodeGaveAway) {
  auto side = [](const std::string& f, const std::string& start, int value) {
    return traced("f", f) + test::function("start", start + "; ret", ".init.text") +
           variable("table", value);
  };
  const std::string run = traced("f", old_f, ".text");
  const std::string reads = "mov table, %eax";
  EXPECT_EQ(all(proof(make(side(old_f, reads, 1), side(new_f, reads, 2), run))), "");
  const std::string gives = "mov $table, %rdi";
  const Bytes module = make(side(old_f, gives, 1), side(new_f, gives, 1), run);
  EXPECT_EQ(all(proof(module)), "");
  EXPECT_THAT(all(proof_against(module, side(new_f, gives, 2))),
              HasSubstr("table: its first contents change, and boot code gave its address away"));
}

TEST_F(Prove, AccusesARedirectWithoutAnEntryCall) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  object_ = elf::ObjectFile::open(assemble("pre", test::function("f", fentry + old_f))).value();
  EXPECT_THAT(all(proof(module)), HasSubstr("no entry that ftrace can redirect"));
}

TEST_F(Prove, DoesNotLoadWithAnotherKernelsChecksums) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  exports_[0].crc = 66;
  const Proof done = proof(module);
  EXPECT_FALSE(done.loads);
  EXPECT_THAT(all(done), HasSubstr("__fentry__: the CRC"));
}

TEST_F(Prove, DoesNotLoadWithoutAnExport) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  exports_.erase(exports_.begin() + 1);
  const Proof done = proof(module);
  EXPECT_FALSE(done.loads);
  EXPECT_THAT(all(done), HasSubstr("klp_enable_patch: nothing exports it to modules"));
}

TEST_F(Prove, SurvivesAModuleThatIsCutOffAnywhere) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  for (std::size_t size = 0; size < module.size(); size += 13) {
    const Bytes part(module.begin(), module.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(proof(part).accusations, Contains(Field(&Error::code, testing::Ne(Code::usage))))
        << size;
  }
}

TEST_F(Prove, SurvivesADamagedModuleForSuturesCore) {
  for_suture();
  const Bytes good = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  for (std::size_t at = 64; at < good.size(); at += 5) {
    Bytes wrong = good;
    wrong[at] ^= 0xff;
    proof(wrong);
  }
  for (std::size_t size = 0; size < good.size(); size += 13) {
    const Bytes part(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(proof(part).accusations.empty()) << size;
  }
}

// Else sections would come to lie in front of those before them, or on them.
TEST_F(Prove, DoesNotLoadWithAWiderAlignmentThanModulesHave) {
  Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  const auto elf = elf::ObjectFile::parse(module, "patch.ko").value();
  const std::uint64_t headers = *read_le<std::uint64_t>(module, offsetof(Elf64_Ehdr, e_shoff));
  const std::uint64_t header = headers + *elf.find_section(".modinfo") * sizeof(Elf64_Shdr);
  write_le(module, header + offsetof(Elf64_Shdr, sh_addralign), std::uint64_t{1} << 63);
  const Proof done = proof(module);
  EXPECT_FALSE(done.loads);
  EXPECT_THAT(all(done), HasSubstr(".modinfo: it wants a wider alignment"));
}

}  // namespace
}  // namespace suture::prove
