// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/prove.h"

#include <gmock/gmock.h>

#include "prove/load.h"
#include "support/kallsyms_tables.h"
#include "support/linked.h"

namespace suture::prove {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using test::fentry;
using test::traced;

std::string variable(const std::string& name, int value, const std::string& section = {}) {
  return fmt::format(".section {},\"aw\",@progbits; .type {}, @object\n{}: .quad {}; .size {}, 8\n",
                     section.empty() ? ".data." + name : section, name, name, value, name);
}

// A compiled file of the module "tiny", patched.
class Prove : public test::Linking {
 protected:
  void SetUp() override {
    Linking::SetUp();
    const std::uint64_t text = 0xffffffff81000000;
    test::KallsymsTables tables;
    tables.symbols = {{'T', "_text", text}, {'R', "linux_banner", 0xffffffff84000000}};
    const fs::path vmlinux = directory_.path() / "vmlinux";
    ASSERT_TRUE(write_file(
        vmlinux,
        test::tiny_vmlinux(
            test::kallsyms_rodata(tables),
            {{".banner", SHT_PROGBITS, SHF_ALLOC, 0xffffffff84000000,
              test::bytes_of(std::string("Linux version 6.1.0 (b@h) (gcc-12 (Debian) 12, GNU ld) "
                                         "#1 SMP\n\0",
                                         63))}})));
    image_ = kernel::Image::open(vmlinux).value();
    exports_ = {{.name = "__fentry__", .address = text + 16, .crc = 6, .name_space = ""},
                {.name = "klp_enable_patch", .address = text + 32, .crc = 5, .name_space = ""},
                {.name = "module_layout", .address = text + 48, .crc = 7, .name_space = ""}};
  }

  // The module that makes `post` of `pre`.
  Bytes make(const std::string& pre, const std::string& post, const std::string& run) {
    auto linked = Linking::make(pre, post, run, "tiny");
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
    names_.clear();
    for (const diff::Piece& one : graph_.pieces()) {
      names_.emplace_back(one.name);
    }
    return linked->module;
  }

  // What was matched, as the proof takes it.
  Case about() {
    Unit unit{.source = "f.c", .object = "tiny", .pre = &object_, .post = &post_};
    for (const auto& [number, address] : matched_.addresses) {
      const auto place = run_.place(address);
      for (std::uint32_t i = 1; place && i < object_.symbols().size(); ++i) {
        if (object_.symbols()[i].name == names_.at(static_cast<std::size_t>(number))) {
          unit.defined.emplace(i, RunPlace{place->first, place->second});
        }
      }
    }
    return Case{.units = {unit},
                .image = &image_,
                .exports = exports_,
                .symvers = &symvers_,
                .find_module = [this](const std::string&) { return &module_; },
                .core_exports = metadata_.core == module::Core::suture ? &core_exports_ : nullptr,
                .glue = &glue_.object,
                .constants = &glue_.constants};
  }

  Proof proof(const Bytes& module) { return prove::prove(module, about()); }
  // The proof of a module against another post than the one that it was made of.
  Proof proof_against(const Bytes& module, const std::string& post) {
    post_ = elf::ObjectFile::open(assemble("other", post)).value();
    return proof(module);
  }
  static std::string all(const Proof& proof) {
    std::string out;
    for (const Error& accusation : proof.accusations) {
      out += fmt::format("{}: {}\n", accusation.where, accusation.reason);
    }
    return out;
  }

  std::vector<std::string> names_;  // of the pieces of what was matched
  kernel::Image image_;
  std::vector<kernel::ImageExport> exports_;
};

const std::string old_f = "mov $1, %eax; ret";
const std::string new_f = "mov $2, %eax; ret";

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

}  // namespace
}  // namespace suture::prove
