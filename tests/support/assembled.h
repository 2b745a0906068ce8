// SPDX-License-Identifier: GPL-2.0-or-later
//
// Object files for tests, assembled at test time by the compiler that kernels use.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "base/process.h"
#include "diff/pieces.h"
#include "kernel/module_image.h"
#include "match/match.h"

namespace suture::test {

// A function in a section of its own, as -ffunction-sections puts it.
inline std::string function(const std::string& name, const std::string& body,
                            const std::string& section = {}) {
  return fmt::format(
      ".section {},\"ax\",@progbits\n.p2align 4\n.type {}, @function\n{}:\n{}\n.size {}, . - {}\n",
      section.empty() ? ".text." + name : section, name, name, body, name, name);
}

// What makes an object a module of that name: the start of struct module.
inline std::string this_module(const std::string& name) {
  return fmt::format(
      ".section .gnu.linkonce.this_module,\"aw\",@progbits\n.zero 24\n.asciz \"{}\"\n.zero 128\n",
      name);
}

class Assembled : public testing::Test {
 protected:
  void SetUp() override { directory_ = TempDir::create(fs::temp_directory_path(), "asm").value(); }

  fs::path assemble(const std::string& name, const std::string& text) {
    fs::path source = directory_.path() / (name + ".s");
    fs::path object = directory_.path() / (name + ".o");
    EXPECT_TRUE(write_file(source, text));
    auto done =
        suture::run(Command{.argv = {"gcc-12", "-c", "-o", object.string(), source.string()}});
    EXPECT_TRUE(done && done->exit_status == 0) << (done ? done->out : done.error().reason);
    return object;
  }

  TempDir directory_;
};

// A compiled object and the module that should be made of it.
class Pair : public Assembled {
 protected:
  // Several sources of the module are linked into one, so that local names may repeat.
  void load(const std::string& pre, const std::vector<std::string>& run,
            const std::string& name = "tiny") {
    const elf::Arch& arch = *elf::arch_of(EM_X86_64);
    object_ = elf::ObjectFile::open(assemble("pre", pre)).value();
    graph_ = diff::PieceGraph::build(object_, arch).value();
    std::vector<std::string> link{"gcc-12",
                                  "-r",
                                  "-nostdlib",
                                  "-o",
                                  (directory_.path() / "run.ko").string(),
                                  assemble("self", this_module(name)).string()};
    for (std::size_t i = 0; i < run.size(); ++i) {
      link.push_back(assemble(fmt::format("run{}", i), run[i]).string());
    }
    auto linked = suture::run(Command{.argv = link});
    EXPECT_TRUE(linked && linked->exit_status == 0) << linked->out;
    module_ = kernel::ModuleImage::open(link[4]).value();
    run_ = match::RunObject::of_module(module_, arch).value();
    matched_ = match::match(graph_, run_);
  }

  std::int32_t piece(std::string_view name) const {
    for (std::size_t i = 0; i < graph_.pieces().size(); ++i) {
      if (graph_.pieces()[i].name == name) {
        return static_cast<std::int32_t>(i);
      }
    }
    return -1;
  }
  bool matches(std::string_view name) const { return matched_.functions.contains(piece(name)); }
  const match::Mismatch& mismatch(std::string_view name) const {
    return matched_.mismatches.at(piece(name));
  }
  // The run's symbol of that name, the n-th of them.
  std::uint64_t address(std::string_view name, std::size_t n = 0) const {
    return run_.symbols().all()[run_.symbols().find(name)[n]].address;
  }

  elf::ObjectFile object_;
  diff::PieceGraph graph_;
  kernel::ModuleImage module_;
  match::RunObject run_;
  match::MatchResult matched_;
};

}  // namespace suture::test
