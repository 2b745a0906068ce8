// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/prove.h"

#include <gmock/gmock.h>

#include "module/link.h"
#include "prove/load.h"
#include "support/assembled.h"
#include "support/kallsyms_tables.h"

namespace suture::prove {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* fentry = "call __fentry__\n";

// A function that ftrace can redirect.
std::string traced(const std::string& name, const std::string& body,
                   const std::string& section = {}) {
  return test::function(name, fentry + body, section) +
         fmt::format(".section __mcount_loc,\"a\",@progbits; .quad {}\n", name);
}

std::string variable(const std::string& name, int value, const std::string& section = {}) {
  return fmt::format(".section {},\"aw\",@progbits; .type {}, @object\n{}: .quad {}; .size {}, 8\n",
                     section.empty() ? ".data." + name : section, name, name, value, name);
}

constexpr const char* glue_source =
    ".section .gnu.linkonce.this_module,\"aw\",@progbits\n"
    ".globl __this_module; .type __this_module, @object\n"
    "__this_module: .zero 128; .quad init_module; .zero 120; .size __this_module, 256\n"
    ".section .init.text,\"ax\",@progbits; .globl init_module; .type init_module, @function\n"
    "init_module: mov $suture_patch, %rdi; call klp_enable_patch; ret\n"
    ".size init_module, . - init_module\n"
    ".section .modinfo,\"a\",@progbits\n"
    ".asciz \"vermagic=6.1.0 SMP \"; .asciz \"license=GPL\"; .asciz \"livepatch=Y\"\n";

constexpr const char* checksums =
    "0x00000005\tklp_enable_patch\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
    "0x00000006\t__fentry__\tvmlinux\tEXPORT_SYMBOL\t\n"
    "0x00000007\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n";

// A compiled file of the module "tiny", patched.
class Prove : public test::Pair {
 protected:
  void SetUp() override {
    Pair::SetUp();
    symvers_ = kernel::Symvers::parse(checksums, "Module.symvers").value();
    glue_.object = elf::ObjectFile::open(assemble("glue", glue_source)).value();
    glue_.constants = {{"klp_patch", 64},           {"klp_patch.mod", 0},
                       {"klp_patch.objs", 8},       {"klp_patch.replace", 16},
                       {"klp_object", 64},          {"klp_object.name", 0},
                       {"klp_object.funcs", 8},     {"klp_func", 64},
                       {"klp_func.old_name", 0},    {"klp_func.new_func", 8},
                       {"klp_func.old_sympos", 16}, {"module.name", 24},
                       {"module_name_len", 56},     {"modversion_info", 64},
                       {"modversion_info.name", 8}, {"bug_entry", 12},
                       {"alt_instr", 12},           {"exception_table_entry", 12},
                       {"jump_entry", 16}};
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
    load(pre, {run});
    names_.clear();
    EXPECT_THAT(matched_.mismatches, IsEmpty());
    for (const diff::Piece& one : graph_.pieces()) {
      names_.emplace_back(one.name);
    }
    pre_tables_ = diff::CodeTables::build(graph_, glue_.constants).value();
    post_ = elf::ObjectFile::open(assemble("post", post)).value();
    post_graph_ = diff::PieceGraph::build(post_, graph_.arch()).value();
    post_tables_ = diff::CodeTables::build(post_graph_, glue_.constants).value();
    const diff::Side before{graph_, pre_tables_};
    const diff::Side after{post_graph_, post_tables_};
    diff_ = diff::compare(before, after, [](std::string_view, elf::AddressArguments) {
      return elf::AddressFate::leaves;
    });
    EXPECT_TRUE(diff_.refusals.empty());
    const module::Binder binder(run_, run_, symvers_, graph_, matched_);
    auto linked = module::link(
        {module::LinkInput{.source = "f.c", .post = &after, .diff = &diff_, .binder = &binder}},
        glue_, symvers_, module::Metadata{.name = "patch", .release = "6.1.0"});
    EXPECT_TRUE(linked.has_value()) << linked.error().reason;
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
  kernel::Symvers symvers_;
  kernel::Image image_;
  std::vector<kernel::ImageExport> exports_;
  module::Glue glue_;
  elf::ObjectFile post_;
  diff::PieceGraph post_graph_;
  diff::CodeTables pre_tables_, post_tables_;
  diff::ObjectDiff diff_;
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
  EXPECT_THAT(all(done), HasSubstr("klp_enable_patch: vmlinux does not export it"));
}

TEST_F(Prove, SurvivesAModuleThatIsCutOffAnywhere) {
  const Bytes module = make(traced("f", old_f), traced("f", new_f), traced("f", old_f, ".text"));
  for (std::size_t size = 0; size < module.size(); size += 13) {
    const Bytes part(module.begin(), module.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(proof(part).accusations, Contains(Field(&Error::code, testing::Ne(Code::usage))))
        << size;
  }
}

}  // namespace
}  // namespace suture::prove
