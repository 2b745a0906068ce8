// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patch module made of assembler texts: what runs, what it was compiled from, and what it
// becomes.
#pragma once

#include <string>
#include <utility>

#include "module/link.h"
#include "support/assembled.h"

namespace suture::test {

constexpr const char* fentry = "call __fentry__\n";

// The bodies of a function that is patched.
inline const std::string old_f = "mov $1, %eax; ret";
inline const std::string new_f = "mov $2, %eax; ret";

// A function that ftrace can redirect.
inline std::string traced(const std::string& name, const std::string& body,
                          const std::string& section = {}) {
  return function(name, fentry + body, section) +
         fmt::format(".section __mcount_loc,\"a\",@progbits; .quad {}\n", name);
}

class Linking : public Pair {
 protected:
  void SetUp() override {
    Pair::SetUp();
    symvers_ = kernel::Symvers::parse(
                   "0x00000005\tklp_enable_patch\tvmlinux\tEXPORT_SYMBOL_GPL\t\n"
                   "0x00000006\t__fentry__\tvmlinux\tEXPORT_SYMBOL\t\n"
                   "0x00000007\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n",
                   "Module.symvers")
                   .value();
    glue_.object = elf::ObjectFile::open(assemble("glue", glue_source)).value();
    glue_.constants = {{"klp_patch", 64},
                       {"klp_patch.mod", 0},
                       {"klp_patch.objs", 8},
                       {"klp_patch.replace", 16},
                       {"klp_object", 64},
                       {"klp_object.name", 0},
                       {"klp_object.funcs", 8},
                       {"klp_func", 64},
                       {"klp_func.old_name", 0},
                       {"klp_func.new_func", 8},
                       {"klp_func.old_sympos", 16},
                       {"module.name", 24},
                       {"module_name_len", 56},
                       {"modversion_info", 64},
                       {"modversion_info.name", 8},
                       {"bug_entry", 12},
                       {"alt_instr", 12},
                       {"exception_table_entry", 12},
                       {"jump_entry", 16},
                       {"klp_patch.states", 24},
                       {"klp_state", 16},
                       {"klp_state.id", 0},
                       {"klp_state.version", 8},
                       {"klp_object.callbacks.pre_patch", 16},
                       {"klp_object.callbacks.post_patch", 24},
                       {"klp_object.callbacks.pre_unpatch", 32},
                       {"klp_object.callbacks.post_unpatch", 40}};
  }

  // From here on what is made is for Suture's own core.
  void for_suture() {
    metadata_.core = module::Core::suture;
    core_exports_ = kernel::Symvers::parse(
                        "0x00000008\tsuture_enable_patch\tsuture\tEXPORT_SYMBOL_GPL\t\n"
                        "0x00000009\tsuture_shadow_get\tsuture\tEXPORT_SYMBOL_GPL\t\n",
                        "the core's Module.symvers")
                        .value();
    std::string source = glue_source;
    for (auto [from, to] : {std::pair("klp_enable_patch", "suture_enable_patch"),
                            std::pair("livepatch=Y", "suture=Y\"; .asciz \"depends=suture")}) {
      source.replace(source.find(from), std::string(from).size(), to);
    }
    glue_.object = elf::ObjectFile::open(assemble("core_glue", source)).value();
    glue_.thunk_rows = {16, 0, 0, 0, 5, 0, 8, 0, 0, 0, 5, 0};
    for (const auto& [name, value] : layout_of_suture) {
      glue_.constants[name] = value;
    }
  }

  // The module that makes `post` of `pre`, which runs as `run` in `object`.
  Result<module::Linked> make(const std::string& pre, const std::string& post,
                              const std::string& run, const std::string& object) {
    load(pre, {run}, object);
    EXPECT_TRUE(matched_.mismatches.empty());
    pre_tables_ = diff::CodeTables::build(graph_, glue_.constants).value();
    post_ = elf::ObjectFile::open(assemble("post", post)).value();
    post_graph_ = diff::PieceGraph::build(post_, graph_.arch()).value();
    post_tables_ = diff::CodeTables::build(post_graph_, glue_.constants).value();
    const diff::Side before{graph_, pre_tables_};
    const diff::Side after{post_graph_, post_tables_};
    diff_ = diff::compare(
        before, after, object == "vmlinux" ? diff::Home::vmlinux : diff::Home::module,
        diff::read_directives(post_graph_).value(),
        [](std::string_view, elf::AddressArguments) { return elf::AddressFate::leaves; });
    EXPECT_TRUE(diff_.refusals.empty());
    const module::Binder binder(run_, symvers_, graph_, matched_);
    return module::link(
        {module::LinkInput{.source = "f.c", .post = &after, .diff = &diff_, .binder = &binder}},
        {.glue = glue_,
         .symvers = symvers_,
         .core_exports = metadata_.core == module::Core::suture ? &core_exports_ : nullptr,
         .image_text = 0xffffffff81000000,
         .image_build_id = "abcdef"},
        metadata_);
  }

  kernel::Symvers symvers_, core_exports_;
  module::Glue glue_;
  elf::ObjectFile post_;
  diff::PieceGraph post_graph_;
  diff::CodeTables pre_tables_, post_tables_;
  diff::ObjectDiff diff_;
  module::Metadata metadata_{.name = "patch", .release = "6.1.0"};

 private:
  // kmod/include/suture_patch.h
  static constexpr std::pair<const char*, std::uint64_t> layout_of_suture[] = {
      {"suture_patch_abi", 2},
      {"suture_symbol", 32},
      {"suture_symbol.object", 0},
      {"suture_symbol.name", 8},
      {"suture_symbol.sympos", 16},
      {"suture_symbol.address", 24},
      {"suture_func", 72},
      {"suture_func.old", 0},
      {"suture_func.old_size", 8},
      {"suture_func.old_cold", 16},
      {"suture_func.old_cold_size", 24},
      {"suture_func.new_func", 32},
      {"suture_func.new_size", 40},
      {"suture_func.new_cold", 48},
      {"suture_func.new_cold_size", 56},
      {"suture_func.entry", 64},
      {"suture_relocation", 32},
      {"suture_relocation.place", 0},
      {"suture_relocation.symbol", 8},
      {"suture_relocation.addend", 16},
      {"suture_relocation.type", 24},
      {"suture_object", 80},
      {"suture_object.name", 0},
      {"suture_object.funcs", 16},
      {"suture_object.nr_funcs", 24},
      {"suture_object.relocations", 32},
      {"suture_object.nr_relocations", 40},
      {"suture_object.callbacks.pre_patch", 48},
      {"suture_object.callbacks.post_patch", 56},
      {"suture_object.callbacks.pre_unpatch", 64},
      {"suture_object.callbacks.post_unpatch", 72},
      {"suture_system_state", 24},
      {"suture_system_state.id", 0},
      {"suture_system_state.version", 8},
      {"suture_patch", 80},
      {"suture_patch.abi", 0},
      {"suture_patch.replace", 4},
      {"suture_patch.mod", 8},
      {"suture_patch.objects", 16},
      {"suture_patch.nr_objects", 24},
      {"suture_patch.states", 32},
      {"suture_patch.nr_states", 40},
      {"suture_patch.relocations", 48},
      {"suture_patch.nr_relocations", 56},
      {"suture_patch.image_text", 64},
      {"suture_patch.image_build_id", 72}};

  static constexpr const char* glue_source =
      ".section .gnu.linkonce.this_module,\"aw\",@progbits\n"
      ".globl __this_module; .type __this_module, @object\n"
      "__this_module: .zero 128; .quad init_module; .zero 56; .quad cleanup_module; .zero 56\n"
      ".size __this_module, 256\n"
      ".section .exit.text,\"ax\",@progbits; .globl cleanup_module\n"
      ".type cleanup_module, @function; cleanup_module: ret\n"
      ".size cleanup_module, . - cleanup_module\n"
      ".section .init.text,\"ax\",@progbits; .globl init_module; .type init_module, @function\n"
      "init_module: mov $suture_patch, %rdi; call klp_enable_patch; ret\n"
      ".size init_module, . - init_module\n"
      ".section .modinfo,\"a\",@progbits\n"
      ".asciz \"vermagic=6.1.0 SMP \"; .asciz \"license=GPL\"; .asciz \"livepatch=Y\"\n";
};

}  // namespace suture::test
